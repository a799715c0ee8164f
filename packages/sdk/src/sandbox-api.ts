/** The REST calls about sandboxes as wholes. */
import { CLIENT_LIMITS as LIMITS } from "@insien/protocol/client-limits";
import { SANDBOX_STATES, type SandboxState } from "@insien/protocol/sandbox-states";
import type { ApiClient } from "./api-client.ts";
import type { RequestOptions } from "./configuration.ts";
import { createWithProgress, type CreateOptions } from "./create-progress.ts";
import { SandboxError } from "./errors.ts";
import {
  createSandboxRequest,
  type CreateSandboxRequest,
} from "./models/create-sandbox-request.ts";
import { sandboxInfo, type SandboxInfo } from "./sandbox-info.ts";
import {
  facts,
  boolean,
  date,
  integer,
  list,
  number,
  object,
  oneOf,
  optional,
  requestOf,
  text,
  type ValueOf,
} from "./wire/shape.ts";

const SANDBOXES = "/api/v1/sandboxes";
export const sandboxPath = (id: string, rest = ""): string =>
  `${SANDBOXES}/${encodeURIComponent(id)}${rest}`;

export interface SandboxTimeouts {
  /** From now on; 0: never. */
  ttlSeconds?: number | undefined;
  idleTimeoutSeconds?: number | undefined;
}

export interface ListSandboxesOptions extends RequestOptions {
  state?: SandboxState | undefined;
  /** How many to ask for at once. */
  pageSize?: number | undefined;
}

export interface EventsOptions extends RequestOptions {
  /** The `sequence` of the last event already seen. */
  after?: number | undefined;
}

export const sandboxEvent = object({
  /** Grows with each event. */
  sequence: number(),
  sandboxId: text,
  type: text,
  at: date,
  data: facts,
});
export type SandboxEvent = ValueOf<typeof sandboxEvent>;

const destroyed = object({ destroyed: boolean });
const seconds = optional(integer(0, LIMITS.ttlSecondsMax.value));
const timeoutsRequest = object<SandboxTimeouts>({
  ttlSeconds: seconds,
  idleTimeoutSeconds: seconds,
});
const sandboxPage = object({ items: list(sandboxInfo), nextCursor: optional(text) });
const eventPage = object({ items: list(sandboxEvent) });
const listRequest = object<{ state?: SandboxState | undefined }>({
  state: optional(oneOf(...SANDBOX_STATES)),
});

/** Waits as long as the server may take, image pull included, unless the caller says otherwise. */
export async function createSandbox(
  api: ApiClient,
  id: string,
  request: CreateSandboxRequest,
  options: CreateOptions,
): Promise<SandboxInfo> {
  const slowest = request.buildContext === undefined ? LIMITS.createMs : LIMITS.buildMs;
  const requestTimeoutMs = options.requestTimeoutMs ?? slowest.value;
  const json = { id, ...(requestOf(createSandboxRequest, request) as object) };
  const { signal, onProgress } = options;
  const call = { json, signal, requestTimeoutMs, repeatable: true };
  return onProgress === undefined
    ? api.json("POST", SANDBOXES, { ...call, answer: sandboxInfo })
    : createWithProgress(api, SANDBOXES, call, onProgress);
}

export async function getSandbox(
  api: ApiClient,
  id: string,
  { signal, requestTimeoutMs }: RequestOptions,
): Promise<SandboxInfo> {
  return api.json("GET", sandboxPath(id), { signal, requestTimeoutMs, answer: sandboxInfo });
}

export async function* listSandboxes(
  api: ApiClient,
  options: ListSandboxesOptions,
): AsyncGenerator<SandboxInfo, void, undefined> {
  const { state, pageSize: limit, signal, requestTimeoutMs } = options;
  requestOf(listRequest, { state });
  let cursor: string | undefined;
  do {
    const call = { query: { state, limit, cursor }, signal, requestTimeoutMs };
    const page = await api.json("GET", SANDBOXES, { ...call, answer: sandboxPage });
    yield* page.items;
    cursor = page.nextCursor;
  } while (cursor !== undefined);
}

/** `false` when it was gone already. */
export async function destroySandbox(
  api: ApiClient,
  id: string,
  options: RequestOptions,
): Promise<boolean> {
  try {
    const call = { ...options, answer: destroyed };
    return (await api.json("DELETE", sandboxPath(id), call)).destroyed;
  } catch (error) {
    if (error instanceof SandboxError && error.code === "sandbox_not_found") return false;
    throw error;
  }
}

export async function extendSandbox(
  api: ApiClient,
  id: string,
  timeouts: SandboxTimeouts,
  options: RequestOptions,
): Promise<SandboxInfo> {
  const json = requestOf(timeoutsRequest, timeouts);
  return api.json("POST", sandboxPath(id, "/timeout"), { ...options, json, answer: sandboxInfo });
}

export interface StopOptions extends RequestOptions {
  /** How long programs have to end by themselves before they are killed. */
  graceMs?: number | undefined;
}

const stopRequest = object<{ graceMs?: number | undefined }>({
  graceMs: optional(integer(0, LIMITS.stopGraceMsMax.value)),
});

/**
 * Stopping ends the machine and keeps the files; starting makes a machine again; restarting is both.
 */
export async function switchSandbox(
  api: ApiClient,
  id: string,
  verb: "stop" | "start" | "restart",
  options: StopOptions,
): Promise<SandboxInfo> {
  const { signal, graceMs = 0 } = options;
  // Programs may take all of the time they are given, and then a machine is made.
  const slowestMs = LIMITS.createMs.value + graceMs;
  const requestTimeoutMs = options.requestTimeoutMs ?? slowestMs;
  const json = verb === "start" ? undefined : requestOf(stopRequest, { graceMs: options.graceMs });
  const call = { signal, requestTimeoutMs, json, answer: sandboxInfo };
  return api.json("POST", sandboxPath(id, `/${verb}`), call);
}

/** What happened to the sandbox up to now, oldest first. */
export async function* sandboxEvents(
  api: ApiClient,
  id: string,
  options: EventsOptions,
): AsyncGenerator<SandboxEvent, void, undefined> {
  const limit = LIMITS.pageSize.value;
  const { signal, requestTimeoutMs } = options;
  let { after } = options;
  for (;;) {
    const call = { signal, requestTimeoutMs, query: { after, limit }, answer: eventPage };
    const { items } = await api.json("GET", sandboxPath(id, "/events"), call);
    for (const event of items) {
      yield event;
      after = event.sequence;
    }
    if (items.length < limit) return;
  }
}
