import { Socket } from "node:net";
import { LIMITS } from "@insien/protocol";
import type { Libc } from "../native/libc.ts";
import { HEADROOM_BYTES } from "../rpc/web-socket-rpc-connection.ts";
import { Ring } from "./ring.ts";

/** Who follows a stream live. */
export interface OutputReader {
  /** `frame` holds HEADROOM_BYTES of room and then the bytes; all of it is the stream's again afterwards. */
  output(offset: number, frame: Buffer): void;
  /** Set while this reader can take no more; the stream then waits for `emptied`. */
  readonly full: boolean;
  emptied(): Promise<void>;
}

/** A pipe this large lets a busy writer and the agent take turns less often. */
const GROWN_PIPE_BYTES = 1024 * 1024;
const READ_BYTES = 256 * 1024;
/** What an ordinary pipe holds: a read of as much says that the writer is faster than we. */
const FULL_READ_BYTES = 64 * 1024;

/**
 * Every pipe reads into the same memory: what was read is copied or written before the next read,
 * so that a hundred silent commands cost no buffers.
 */
const shared = Buffer.allocUnsafeSlow(HEADROOM_BYTES + READ_BYTES);
const target = shared.subarray(HEADROOM_BYTES);

/** One output stream of a command: the pipe, the ring of its last bytes, and who reads along. */
export class Output {
  readonly ring = new Ring(LIMITS.outputRingBytes.value);
  readonly #libc: Libc;
  readonly #fd: number;
  readonly #socket: Socket;
  readonly #readers = new Set<OutputReader>();
  readonly #waitingFor = new Set<OutputReader>();
  #grown = false;
  #discarding = false;

  /** `onClosed`: the pipe has nothing more to give. */
  constructor(libc: Libc, fd: number, onClosed: () => void) {
    this.#libc = libc;
    this.#fd = fd;
    const onread = { buffer: target, callback: (bytes: number) => this.#take(bytes) };
    this.#socket = new Socket({ fd, readable: true, writable: false, onread });
    this.#socket.on("error", () => this.#socket.destroy());
    this.#socket.once("close", onClosed);
    this.#socket.resume();
  }

  /** Adds a reader of all that comes from now on. */
  follow(reader: OutputReader): void {
    this.#readers.add(reader);
    if (reader.full) this.#waitFor(reader);
  }

  unfollow(reader: OutputReader): void {
    this.#readers.delete(reader);
    this.#waitingFor.delete(reader);
    this.#resume();
  }

  /** Whether some reader keeps the stream waiting. */
  get waiting(): boolean {
    return this.#waitingFor.size > 0;
  }

  /**
   * Lets the readers go and keeps nothing of what still comes. The pipe stays open, since a child
   * left in the background that prints would otherwise die of it.
   */
  discard(): void {
    this.#discarding = true;
    this.#readers.clear();
    this.#waitingFor.clear();
    this.#resume();
  }

  /** Called with bytes in `target`. `false` stops the reading. */
  #take(bytes: number): boolean {
    if (bytes >= FULL_READ_BYTES && !this.#grown) {
      this.#grown = true;
      this.#libc.growPipe(this.#fd, GROWN_PIPE_BYTES);
    }
    if (this.#discarding) return true;
    const offset = this.ring.end;
    this.ring.append(target.subarray(0, bytes));
    const frame = shared.subarray(0, HEADROOM_BYTES + bytes);
    for (const reader of this.#readers) {
      reader.output(offset, frame);
      if (reader.full) this.#waitFor(reader);
    }
    return this.#waitingFor.size === 0;
  }

  #waitFor(reader: OutputReader): void {
    if (this.#waitingFor.has(reader)) return;
    this.#waitingFor.add(reader);
    this.#socket.pause();
    const done = (): void => {
      this.#waitingFor.delete(reader);
      this.#resume();
    };
    // A reader that went away no longer holds the command up either.
    reader.emptied().then(done, done);
  }

  #resume(): void {
    if (this.#waitingFor.size === 0 && !this.#socket.destroyed) this.#socket.resume();
  }
}
