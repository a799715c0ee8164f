/**
 * The RPC connections to one sandbox. Short calls share one; each stream has one to itself while it
 * lasts, so that its reader can hold it up without holding up anything else. Ended streams give
 * theirs back for the next.
 */
import { CLIENT_LIMITS as LIMITS } from "@insien/protocol/client-limits";
import { connectionLost } from "../errors.ts";
import type { RpcConnection } from "./rpc-connection.ts";

export class ConnectionPool {
  readonly #open: () => Promise<RpcConnection>;
  #shared: Promise<RpcConnection> | undefined;
  /** Open or opening, and nobody's. The one used last is taken first. */
  #idle: Promise<RpcConnection>[] = [];
  readonly #all = new Set<RpcConnection>();
  #closed = false;

  constructor(open: () => Promise<RpcConnection>) {
    this.#open = open;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Begins to open a connection for whoever comes next; a failure is theirs to see. */
  warm(): void {
    if (this.#idle.length > 0 || this.#closed) return;
    const opening = this.#dial();
    opening.catch(() => {
      this.#idle = this.#idle.filter((other) => other !== opening);
    });
    this.#idle.push(opening);
  }

  /** The connection that all short calls use. */
  async shared(): Promise<RpcConnection> {
    for (;;) {
      if (this.#shared === undefined) {
        this.#shared = this.#take();
        this.warm();
      }
      const current = this.#shared;
      try {
        const connection = await current;
        if (!connection.closed) return connection;
      } catch (error) {
        if (this.#shared === current) this.#shared = undefined;
        throw error;
      }
      if (this.#shared === current) this.#shared = undefined;
    }
  }

  /** A connection for one stream; `release` it when the stream ended, or close it. */
  exclusive(): Promise<RpcConnection> {
    return this.#take();
  }

  release(connection: RpcConnection): void {
    connection.listen(undefined);
    if (connection.closed) return;
    if (this.#closed || this.#idle.length >= LIMITS.sdkIdleConnections.value) connection.close();
    else this.#idle.push(Promise.resolve(connection));
  }

  close(): void {
    this.#closed = true;
    for (const connection of this.#all) connection.close();
    this.#all.clear();
    this.#idle = [];
    this.#shared = undefined;
  }

  async #take(): Promise<RpcConnection> {
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      const connection = await idle;
      if (!connection.closed) return connection;
    }
    return this.#dial();
  }

  async #dial(): Promise<RpcConnection> {
    if (this.#closed) throw connectionLost("a call on a closed sandbox", false);
    for (const connection of this.#all) if (connection.closed) this.#all.delete(connection);
    const connection = await this.#open();
    this.#all.add(connection);
    if (this.#closed) {
      connection.close();
      throw connectionLost("a call on a closed sandbox", false);
    }
    return connection;
  }
}
