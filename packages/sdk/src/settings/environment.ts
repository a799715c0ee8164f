/** `sandbox.environment`: what every command of the sandbox starts with. */
import type { ApiClient } from "../api-client.ts";
import type { RequestOptions } from "../configuration.ts";
import { environment } from "../models/create-sandbox-request.ts";
import { sandboxPath } from "../sandbox-api.ts";
import type { SessionSource } from "../session.ts";
import { boolean, object, optional, record, requestOf, text, type ValueOf } from "../wire/shape.ts";

const environmentState = object({
  environment: record(text),
  /** Commands started from now on have it; `true` when the main command runs with an older one. */
  restartNeeded: boolean,
});
export type EnvironmentState = ValueOf<typeof environmentState>;

export interface UpdateEnvironmentOptions extends RequestOptions {
  /** `true` (the default): added to what there is; `false`: instead of it. */
  merge?: boolean | undefined;
}

const changeRequest = object({ environment, merge: optional(boolean) });

export const getEnvironment = (
  api: ApiClient,
  id: string,
  options: RequestOptions,
): Promise<EnvironmentState> =>
  api.json("GET", sandboxPath(id, "/environment"), { ...options, answer: environmentState });

export async function updateEnvironment(
  api: ApiClient,
  id: string,
  variables: Record<string, string>,
  options: UpdateEnvironmentOptions,
): Promise<EnvironmentState> {
  const { merge = true, signal, requestTimeoutMs } = options;
  const json = requestOf(changeRequest, { environment: variables, merge });
  const call = { signal, requestTimeoutMs, json, answer: environmentState };
  return api.json("PATCH", sandboxPath(id, "/environment"), call);
}

export class Environment {
  readonly #session: SessionSource;

  constructor(session: SessionSource) {
    this.#session = session;
  }

  async get(options: RequestOptions = {}): Promise<EnvironmentState> {
    const { api, id } = await this.#session(options);
    return getEnvironment(api, id, options);
  }

  /** The next command has it, and it outlives stop, start and restart. */
  async update(
    variables: Record<string, string>,
    options: UpdateEnvironmentOptions = {},
  ): Promise<EnvironmentState> {
    const { api, id } = await this.#session(options);
    return updateEnvironment(api, id, variables, options);
  }
}
