/** RPC to one sandbox: finds a connection, and survives the loss of one where that is safe. */
import type { RpcAnswers, RpcType } from "@insien/protocol";
import { withDeadline } from "../deadline.ts";
import type { RequestOptions } from "../configuration.ts";
import { SandboxError } from "../errors.ts";
import { ConnectionPool } from "./connection-pool.ts";
import { isWorthRetrying, retry } from "./retry.ts";
import type { RpcConnection, RpcFields } from "./rpc-connection.ts";

/** Asking these twice is the same as asking once, so a lost answer is asked for again. */
const REPEATABLE: ReadonlySet<RpcType> = new Set<RpcType>([
  "attach",
  "list",
  "listDirectory",
  "metrics",
  "ping",
  "ports",
  "read",
  "search",
  "stat",
  "terminalAttach",
  "terminalList",
  "watch",
]);

export const isRepeatable = (type: RpcType): boolean => REPEATABLE.has(type);

export interface RpcClientOptions {
  open: () => Promise<RpcConnection>;
  requestTimeoutMs: number;
  reconnectTimeoutMs: number;
}

export class RpcClient {
  readonly pool: ConnectionPool;
  readonly requestTimeoutMs: number;
  readonly reconnectTimeoutMs: number;

  constructor(options: RpcClientOptions) {
    this.pool = new ConnectionPool(options.open);
    this.requestTimeoutMs = options.requestTimeoutMs;
    this.reconnectTimeoutMs = options.reconnectTimeoutMs;
  }

  /** One short call on the shared connection. */
  call<Type extends RpcType>(
    type: Type,
    fields: RpcFields<Type>,
    options: RequestOptions = {},
  ): Promise<RpcAnswers[Type]> {
    const timeoutMs = options.requestTimeoutMs ?? this.requestTimeoutMs;
    return withDeadline({ what: type, signal: options.signal, timeoutMs }, async (signal) => {
      const attempt = async (): Promise<RpcAnswers[Type]> => {
        const connection = await this.connect(() => this.pool.shared(), signal);
        return connection.call(type, fields, { signal, timeoutMs: 0 });
      };
      return isRepeatable(type) ? this.#repeat(attempt, signal) : attempt();
    });
  }

  /** Retries the opening of a connection, which is always safe. */
  connect(take: () => Promise<RpcConnection>, signal?: AbortSignal): Promise<RpcConnection> {
    const worthIt = (error: unknown): boolean => !this.pool.closed && isWorthRetrying(error);
    return retry(take, { forMs: this.reconnectTimeoutMs, signal, worthIt });
  }

  /** Repeats when a connection was lost; what the sandbox itself answers is final. */
  async #repeat<Value>(attempt: () => Promise<Value>, signal: AbortSignal): Promise<Value> {
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        const lost = error instanceof SandboxError && error.details["mayHaveHappened"] === true;
        if (!lost || signal.aborted) throw error;
      }
    }
  }

  close(): void {
    this.pool.close();
  }
}
