import type { RpcConnection } from "../rpc/connection.ts";
import type { Scrollback } from "./scrollback.ts";

/**
 * One client that watches a terminal. It reads out of the scrollback at its own pace: while its
 * connection is congested it waits, and what was overwritten meanwhile it is told of and skips.
 */
export class Viewer {
  readonly connection: RpcConnection;
  readonly channel: number;
  readonly #scrollback: Scrollback;
  readonly #onReady: () => void;
  #position = 0;
  #waiting = true;

  /** `onReady`: called whenever it can take output again. */
  constructor(connection: RpcConnection, scrollback: Scrollback, onReady: () => void) {
    this.connection = connection;
    this.channel = connection.nextChannel();
    this.#scrollback = scrollback;
    this.#onReady = onReady;
  }

  get behind(): boolean {
    return this.#waiting;
  }

  /** Replays the scrollback; from then on `advance` sends what is new. */
  begin(): void {
    const { offset, prefix } = this.#scrollback.beginning();
    const bytes = Buffer.from(prefix, "latin1");
    if (bytes.length > 0) this.#send(offset - bytes.length, bytes);
    this.#position = offset;
    this.#waiting = false;
    this.advance();
  }

  advance(): void {
    if (this.#waiting) return;
    this.#skipLost();
    for (const part of this.#scrollback.ring.read(this.#position)) {
      if (this.connection.congested) return this.#wait();
      this.#send(this.#position, part);
      this.#position += part.byteLength;
    }
  }

  /** Sends all that is left, congested or not: nothing follows. */
  finish(): void {
    this.#waiting = false;
    this.#skipLost();
    for (const part of this.#scrollback.ring.read(this.#position)) {
      this.#send(this.#position, part);
      this.#position += part.byteLength;
    }
  }

  #skipLost(): void {
    if (this.#position >= this.#scrollback.ring.start) return;
    const { offset, prefix } = this.#scrollback.beginning();
    const { channel } = this;
    const from = this.#position;
    this.connection.notify({ type: "dropped", channel, stream: "terminal", from, to: offset });
    const bytes = Buffer.from(prefix, "latin1");
    if (bytes.length > 0) this.#send(offset - bytes.length, bytes);
    this.#position = offset;
  }

  #send(offset: number, bytes: Uint8Array): void {
    this.connection.sendBytes("terminalOutput", this.channel, offset, bytes);
  }

  #wait(): void {
    this.#waiting = true;
    this.connection.drained().then(
      () => {
        this.#waiting = false;
        this.advance();
        this.#onReady();
      },
      // The connection closed, and its viewer is removed by whoever watches for that.
      () => undefined,
    );
  }
}
