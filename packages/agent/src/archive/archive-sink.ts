import type { ServerResponse } from "node:http";
import { written } from "../files/download.ts";

const BATCH_BYTES = 256 * 1024;

/** Where an archive goes. Small pieces are gathered; the answer begins with the first bytes sent. */
export class ArchiveSink {
  readonly #response: ServerResponse;
  readonly #contentType: string;
  #gathered: Buffer[] = [];
  #gatheredBytes = 0;
  /** Bytes taken so far. */
  position = 0;

  constructor(response: ServerResponse, contentType: string) {
    this.#response = response;
    this.#contentType = contentType;
  }

  /** For small pieces, which are kept until they are sent. */
  async add(...pieces: Buffer[]): Promise<void> {
    for (const piece of pieces) {
      this.#gathered.push(piece);
      this.#gatheredBytes += piece.length;
      this.position += piece.length;
    }
    if (this.#gatheredBytes >= BATCH_BYTES) await this.flush();
  }

  /** For large ones; resolves when their memory may be used again. Comes after a `flush`. */
  async send(bytes: Buffer): Promise<void> {
    if (!this.#response.headersSent) {
      this.#response.writeHead(200, { "Content-Type": this.#contentType });
    }
    await written(this.#response, bytes);
  }

  async flush(): Promise<void> {
    const whole = Buffer.concat(this.#gathered);
    this.#gathered = [];
    this.#gatheredBytes = 0;
    if (whole.length > 0) await this.send(whole);
  }

  async end(): Promise<void> {
    await this.flush();
    this.#response.end();
  }
}
