/** `sandbox.main`: the main command as it runs. */
import type { RequestOptions } from "../configuration.ts";
import { getSandbox, sandboxPath } from "../sandbox-api.ts";
import type { SessionSource } from "../session.ts";
import { mainStatus, type MainStatus } from "./main-status.ts";

export class MainCommand {
  readonly #session: SessionSource;

  constructor(session: SessionSource) {
    this.#session = session;
  }

  /** `undefined` when the sandbox has no main command. */
  async status(options: RequestOptions = {}): Promise<MainStatus | undefined> {
    const { api, id } = await this.#session(options);
    return (await getSandbox(api, id, options)).main;
  }

  /** Ends it where it runs, and starts it with the environment and entrypoint of now. */
  restart(options: RequestOptions = {}): Promise<MainStatus> {
    return this.#switch("restart", options);
  }

  /** Ends it; it is not started again until `restart`, or a start of the sandbox. */
  stop(options: RequestOptions = {}): Promise<MainStatus> {
    return this.#switch("stop", options);
  }

  async #switch(verb: "restart" | "stop", options: RequestOptions): Promise<MainStatus> {
    const { api, id } = await this.#session(options);
    const { signal, requestTimeoutMs } = options;
    const call = { signal, requestTimeoutMs, answer: mainStatus };
    return api.json("POST", sandboxPath(id, `/main/${verb}`), call);
  }
}
