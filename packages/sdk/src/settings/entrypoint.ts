/** `sandbox.entrypoint`: what the main command is. */
import type { ApiClient } from "../api-client.ts";
import type { RequestOptions } from "../configuration.ts";
import { commandLine, type CommandLine } from "../models/create-sandbox-request.ts";
import { sandboxPath } from "../sandbox-api.ts";
import type { SessionSource } from "../session.ts";
import {
  boolean,
  nullable,
  object,
  optional,
  requestOf,
  ruled,
  type ValueOf,
} from "../wire/shape.ts";

const entrypointState = object({
  entrypoint: optional(commandLine),
  command: optional(commandLine),
  /** `true` when the main command that runs is an older one: restart it, or the sandbox. */
  restartNeeded: boolean,
});
export type EntrypointState = ValueOf<typeof entrypointState>;

/** What is left out stays as it is; `null` takes it away. */
export interface EntrypointChange {
  entrypoint?: CommandLine | null | undefined;
  command?: CommandLine | null | undefined;
}

const changeRequest = ruled(
  object<EntrypointChange>({
    entrypoint: optional(nullable(commandLine)),
    command: optional(nullable(commandLine)),
  }),
  ({ entrypoint, command }) =>
    entrypoint === undefined && command === undefined
      ? ["entrypoint", "is missing, and so is command: give one of them or both"]
      : undefined,
);

export const getEntrypoint = (
  api: ApiClient,
  id: string,
  options: RequestOptions,
): Promise<EntrypointState> =>
  api.json("GET", sandboxPath(id, "/entrypoint"), { ...options, answer: entrypointState });

export async function updateEntrypoint(
  api: ApiClient,
  id: string,
  change: EntrypointChange,
  options: RequestOptions,
): Promise<EntrypointState> {
  const json = requestOf(changeRequest, change);
  const call = { ...options, json, answer: entrypointState };
  return api.json("PUT", sandboxPath(id, "/entrypoint"), call);
}

export class Entrypoint {
  readonly #session: SessionSource;

  constructor(session: SessionSource) {
    this.#session = session;
  }

  async get(options: RequestOptions = {}): Promise<EntrypointState> {
    const { api, id } = await this.#session(options);
    return getEntrypoint(api, id, options);
  }

  /** Holds for the next start of the main command: `sandbox.main.restart()`. */
  async update(change: EntrypointChange, options: RequestOptions = {}): Promise<EntrypointState> {
    const { api, id } = await this.#session(options);
    return updateEntrypoint(api, id, change, options);
  }
}
