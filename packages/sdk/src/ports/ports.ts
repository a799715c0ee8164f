/** `sandbox.ports`: TCP ports inside the sandbox. */
import { platform } from "#platform";
import type { PortInfo } from "@insien/protocol";
import type { RequestOptions } from "../configuration.ts";
import { pause, withDeadline } from "../deadline.ts";
import type { SessionSource } from "../session.ts";
import { PortConnection } from "./port-connection.ts";

const WAIT_POLL_MS = 50;

export class Ports {
  readonly #session: SessionSource;

  constructor(session: SessionSource) {
    this.#session = session;
  }

  /** What listens. */
  async list(options: RequestOptions = {}): Promise<PortInfo[]> {
    const { rpc } = await this.#session(options);
    return (await rpc.call("ports", {}, options)).ports;
  }

  /** Connects to a port. Throws `port_not_listening` when nothing does. */
  async open(port: number, options: RequestOptions = {}): Promise<PortConnection> {
    const { agentUrl, api } = await this.#session(options);
    const { apiKey, requestTimeoutMs } = api.configuration;
    const timeoutMs = options.requestTimeoutMs ?? requestTimeoutMs;
    const deadline = { what: `connecting to port ${port}`, signal: options.signal, timeoutMs };
    return withDeadline(deadline, (signal) =>
      PortConnection.open(platform, `${agentUrl}/ports/${port}`, { apiKey, signal }),
    );
  }

  /** Waits until something listens on the port; `timeout` when nothing does within 30 s. */
  async waitFor(
    port: number,
    options: RequestOptions & { timeoutMs?: number | undefined } = {},
  ): Promise<PortInfo> {
    const { timeoutMs = 30_000, signal } = options;
    const deadline = { what: `waiting for port ${port}`, signal, timeoutMs };
    return withDeadline(deadline, async (until) => {
      for (;;) {
        const ports = await this.list({ ...options, signal: until });
        const found = ports.find((listening) => listening.port === port);
        if (found !== undefined) return found;
        await pause(WAIT_POLL_MS, until);
      }
    });
  }
}
