/**
 * The Postgres wire protocol on one side, PGlite's single session on the other. Connections take
 * turns: the next is served when the one before has ended and the session is clean again.
 */
import type { Socket } from "node:net";
import type { PGlite } from "@electric-sql/pglite";

const PROTOCOL_3 = 0x0003_0000;
const SSL_REQUEST = 80877103;
const TERMINATE = "X".charCodeAt(0);
/** Messages after which the client waits for an answer: Sync, Query, Flush, CopyDone, CopyFail. */
const BATCH_ENDS = new Set(["S", "Q", "H", "c", "f"].map((letter) => letter.charCodeAt(0)));

export class WireDoor {
  readonly #database: PGlite;
  #turn: Promise<void> = Promise.resolve();
  #batches = 0;

  constructor(database: PGlite) {
    this.#database = database;
  }

  /** Grows whenever a client asks something. */
  get batches(): number {
    return this.#batches;
  }

  accept(socket: Socket): void {
    // A broken connection also closes; there is nothing to be done for it before that.
    socket.on("error", () => {});
    const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
    this.#turn = this.#turn
      .then(() => (socket.destroyed ? undefined : this.#serve(socket, closed)))
      .catch(() => void socket.destroy());
  }

  async #serve(socket: Socket, closed: Promise<void>): Promise<void> {
    const session = new Session(this.#database, socket);
    socket.on("data", (bytes) => {
      this.#batches += 1;
      session.receive(bytes);
    });
    await closed;
    await this.#clean();
  }

  /** All connections share one session, so nothing of the last one may be left for the next. */
  async #clean(): Promise<void> {
    if (this.#database.isInTransaction()) await this.#database.exec("rollback");
    await this.#database.exec("discard all");
  }
}

class Session {
  readonly #database: PGlite;
  readonly #socket: Socket;
  #buffer: Buffer = Buffer.alloc(0);
  #started = false;

  constructor(database: PGlite, socket: Socket) {
    this.#database = database;
    this.#socket = socket;
  }

  receive(bytes: Buffer): void {
    this.#buffer = this.#buffer.length === 0 ? bytes : Buffer.concat([this.#buffer, bytes]);
    if (!this.#started && !this.#start()) return;
    const { end, terminated } = completeBatches(this.#buffer);
    if (end > 0) {
      const batch = this.#buffer.subarray(0, end);
      this.#buffer = this.#buffer.subarray(end);
      this.#socket.write(this.#database.execProtocolRawSync(batch));
    }
    if (terminated) this.#socket.end();
  }

  /** Answers what comes before the first typed message; `true` once the session began. */
  #start(): boolean {
    while (this.#buffer.length >= 8) {
      const length = this.#buffer.readInt32BE(0);
      const code = this.#buffer.readInt32BE(4);
      if (this.#buffer.length < length) return false;
      const message = this.#buffer.subarray(0, length);
      this.#buffer = this.#buffer.subarray(length);
      if (code === PROTOCOL_3) {
        this.#socket.write(this.#database.execProtocolRawSync(message));
        this.#started = true;
        return true;
      }
      if (code === SSL_REQUEST) this.#socket.write("N");
      // A request to cancel: there is one thread, so nothing runs that could be cancelled.
      else this.#socket.end();
    }
    return false;
  }
}

/**
 * How many bytes, from the start, are whole messages up to one that ends a batch. Messages before it
 * wait, so that PGlite is entered once for each question of the client.
 */
function completeBatches(buffer: Buffer): { end: number; terminated: boolean } {
  let offset = 0;
  let end = 0;
  while (offset + 5 <= buffer.length) {
    const type = buffer[offset];
    const next = offset + 1 + buffer.readInt32BE(offset + 1);
    if (next > buffer.length) break;
    if (type === TERMINATE) return { end, terminated: true };
    offset = next;
    if (type !== undefined && BATCH_ENDS.has(type)) end = offset;
  }
  return { end, terminated: false };
}
