/** The REST calls about sandboxes as wholes. */
import { LIMITS } from "@insien/protocol/limits";
import type { SandboxList, SandboxState, SandboxView } from "@insien/protocol";
import type { ApiClient } from "./api-client.ts";
import type { RequestOptions } from "./configuration.ts";
import { SandboxError } from "./errors.ts";
import {
  toCreateBody,
  toSandboxInfo,
  type SandboxInfo,
  type SandboxSettings,
} from "./sandbox-info.ts";

const SANDBOXES = "/api/v1/sandboxes";
const sandboxPath = (id: string, rest = ""): string =>
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

export interface SandboxEvent {
  /** Grows with each event. */
  sequence: number;
  type: string;
  at: Date;
  data: Record<string, unknown>;
}

/** Waits as long as the server may take, image pull included, unless the caller says otherwise. */
export async function createSandbox(
  api: ApiClient,
  id: string,
  settings: SandboxSettings,
  options: RequestOptions,
): Promise<SandboxInfo> {
  const requestTimeoutMs = options.requestTimeoutMs ?? LIMITS.createMs.value;
  const json = { id, ...toCreateBody(settings) };
  const call = { json, signal: options.signal, requestTimeoutMs, repeatable: true };
  return toSandboxInfo(await api.json<SandboxView>("POST", SANDBOXES, call));
}

export async function getSandbox(
  api: ApiClient,
  id: string,
  options: RequestOptions,
): Promise<SandboxInfo> {
  return toSandboxInfo(await api.json<SandboxView>("GET", sandboxPath(id), options));
}

export async function* listSandboxes(
  api: ApiClient,
  options: ListSandboxesOptions,
): AsyncGenerator<SandboxInfo, void, undefined> {
  const { state, pageSize: limit, signal, requestTimeoutMs } = options;
  let cursor: string | undefined;
  do {
    const call = { query: { state, limit, cursor }, signal, requestTimeoutMs };
    const page = await api.json<SandboxList>("GET", SANDBOXES, call);
    yield* page.items.map(toSandboxInfo);
    cursor = page.next_cursor;
  } while (cursor !== undefined);
}

/** `false` when it was gone already. */
export async function destroySandbox(
  api: ApiClient,
  id: string,
  options: RequestOptions,
): Promise<boolean> {
  try {
    const answer = await api.json<{ destroyed: boolean }>("DELETE", sandboxPath(id), options);
    return answer.destroyed;
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
  const json = {
    ttl_seconds: timeouts.ttlSeconds,
    idle_timeout_seconds: timeouts.idleTimeoutSeconds,
  };
  const call = { ...options, json };
  return toSandboxInfo(await api.json<SandboxView>("POST", sandboxPath(id, "/timeout"), call));
}

/** Stopping ends the machine and keeps the files; starting makes a machine again. */
export async function switchSandbox(
  api: ApiClient,
  id: string,
  verb: "stop" | "start",
  options: RequestOptions,
): Promise<SandboxInfo> {
  return toSandboxInfo(await api.json<SandboxView>("POST", sandboxPath(id, `/${verb}`), options));
}

/** What happened to the sandbox up to now, oldest first. */
export async function* sandboxEvents(
  api: ApiClient,
  id: string,
  options: EventsOptions,
): AsyncGenerator<SandboxEvent, void, undefined> {
  const limit = LIMITS.pageSize.value;
  let { after } = options;
  for (;;) {
    const call = { ...options, query: { after, limit } };
    const { items } = await api.json<{ items: (Omit<SandboxEvent, "at"> & { at: string })[] }>(
      "GET",
      sandboxPath(id, "/events"),
      call,
    );
    for (const { sequence, type, at, data } of items) {
      yield { sequence, type, at: new Date(at), data };
      after = sequence;
    }
    if (items.length < limit) return;
  }
}
