import { Socket } from "node:net";
import { InsienError, LIMITS } from "@insien/protocol";

/** A command's stdin. */
export class Input {
  readonly #socket: Socket;
  #closed = false;

  constructor(fd: number) {
    this.#socket = new Socket({ fd, readable: false, writable: true });
    // A command that ends or closes its stdin is told so by the next write.
    this.#socket.on("error", () => this.close());
  }

  /** Bytes that the command has not read yet. */
  get waitingBytes(): number {
    return this.#socket.writableLength;
  }

  get full(): boolean {
    return this.waitingBytes >= LIMITS.stdinBufferBytes.value;
  }

  /** Resolves when the pipe has taken the bytes. Throws `stdin_closed`. */
  write(data: Uint8Array): Promise<void> {
    if (this.#closed) throw closedError();
    return new Promise((resolve, reject) => {
      this.#socket.write(data, (error) => {
        if (error) reject(closedError());
        else resolve();
      });
    });
  }

  /** What was written before still arrives. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.end();
  }

  /** Nobody reads any more. */
  abandon(): void {
    this.#closed = true;
    this.#socket.destroy();
  }
}

export const closedError = (): InsienError =>
  new InsienError("stdin_closed", "the command's stdin is closed");
