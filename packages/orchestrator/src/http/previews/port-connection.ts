import { type AgentOptions, Agent as HttpAgent, request as httpRequest } from "node:http";
import type { Duplex } from "node:stream";
import { InsienError, LIMITS } from "@insien/protocol";
import type { AgentConnector } from "../../line/agent-connector.ts";
import { asLineError } from "../agent-request.ts";

/**
 * A connection to a TCP port in a sandbox, over its line: what is written arrives there and nothing
 * else. Throws `port_not_listening`, or why the machine cannot be reached.
 */
export async function connectPort(
  connector: AgentConnector,
  port: number,
  options: { signal?: AbortSignal } = {},
): Promise<Duplex> {
  const given = [options.signal, connector.lost, AbortSignal.timeout(LIMITS.handshakeMs.value)];
  const signal = AbortSignal.any(given.filter((each) => each !== undefined));
  const line = await connector.take({ signal });
  return new Promise((resolve, reject) => {
    const target = `localhost:${port}`;
    const request = httpRequest({
      method: "CONNECT",
      path: target,
      headers: { host: target },
      createConnection: () => line,
      signal,
    });
    request.once("connect", ({ statusCode }, stream, head) => {
      stream.on("error", () => stream.destroy());
      if (statusCode === 200) {
        if (head.length > 0) stream.unshift(head);
        resolve(stream);
        return;
      }
      stream.destroy();
      reject(statusCode === 502 ? notListening(port) : unreachable(statusCode));
    });
    // An agent answers CONNECT as such; anything else is not to be read on.
    request.once("response", (response) => {
      line.destroy();
      reject(unreachable(response.statusCode));
    });
    request.once("error", (error) => reject(asLineError(error, signal)));
    request.end();
  });
}

const notListening = (port: number): InsienError =>
  new InsienError("port_not_listening", `Nothing listens on port ${port} in the sandbox`, {
    details: { port },
  });

const unreachable = (status: number | undefined): InsienError =>
  new InsienError("agent_unreachable", `The agent answered with status ${status}`);

/** Makes connections to one port; with `keepAlive` it keeps answered ones for the next request. */
class PortAgent extends HttpAgent {
  readonly #connect: () => Promise<Duplex>;

  constructor(connect: () => Promise<Duplex>, options: AgentOptions) {
    super(options);
    this.#connect = connect;
  }

  override createConnection(
    _options: unknown,
    callback?: (error: Error | null, stream: Duplex) => void,
  ): undefined {
    this.#connect().then(
      (stream) => callback?.(null, stream),
      // Node's typing wants a stream beside the error; none is read when there is an error.
      (error: unknown) => callback?.(error as Error, undefined as never),
    );
    return undefined;
  }

  get isIdle(): boolean {
    return Object.keys(this.sockets).length === 0 && Object.keys(this.requests).length === 0;
  }
}

/** The ways to the ports of one machine, and how many use them. */
export class MachinePorts {
  readonly #connector: AgentConnector;
  readonly #kept = new Map<number, PortAgent>();
  #open = 0;

  constructor(connector: AgentConnector) {
    this.#connector = connector;
    connector.lost.addEventListener("abort", () => {
      for (const agent of this.#kept.values()) agent.destroy();
    });
  }

  /** Counts one more request or WebSocket; `release` it when it is over. Throws `rate_limited`. */
  enter(): Disposable {
    if (this.#open >= LIMITS.portConnectionsPerSandbox.value) {
      const message = `${this.#open} requests to this sandbox's ports are open, which is as many as may be`;
      throw new InsienError("rate_limited", message, { details: { retryAfterSeconds: 1 } });
    }
    this.#open += 1;
    let isOpen = true;
    return {
      [Symbol.dispose]: () => {
        if (isOpen) this.#open -= 1;
        isOpen = false;
      },
    };
  }

  /** For requests that may be sent again when a kept connection turns out to be closed. */
  keptAgent(port: number): HttpAgent {
    const known = this.#kept.get(port);
    if (known !== undefined) return known;
    if (this.#kept.size >= LIMITS.portsKeptOpen.value) this.#dropIdle();
    const agent = new PortAgent(() => connectPort(this.#connector, port), {
      keepAlive: true,
      maxFreeSockets: LIMITS.portIdleConnections.value,
      timeout: LIMITS.portIdleMs.value,
    });
    this.#kept.set(port, agent);
    return agent;
  }

  connect(port: number, options: { signal: AbortSignal }): Promise<Duplex> {
    return connectPort(this.#connector, port, options);
  }

  #dropIdle(): void {
    for (const [port, agent] of this.#kept) {
      if (!agent.isIdle) continue;
      agent.destroy();
      this.#kept.delete(port);
    }
  }
}

const machines = new WeakMap<AgentConnector, MachinePorts>();

/** Of the machine behind a line; the same as long as the line is. */
export function machinePorts(connector: AgentConnector): MachinePorts {
  const known = machines.get(connector) ?? new MachinePorts(connector);
  machines.set(connector, known);
  return known;
}
