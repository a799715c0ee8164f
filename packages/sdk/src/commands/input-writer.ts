import { toBase64 } from "../base64.ts";
import type { RequestOptions } from "../configuration.ts";
import type { RpcClient } from "../rpc/rpc-client.ts";

/** Each piece is answered when the command's side took it, which is what holds a fast writer up. */
const PIECE_BYTES = 256 * 1024;

/** A command's stdin: pieces in order, one under way at a time. */
export class InputWriter {
  readonly #client: RpcClient;
  readonly #processId: string;
  #last: Promise<void> = Promise.resolve();

  constructor(client: RpcClient, processId: string) {
    this.#client = client;
    this.#processId = processId;
  }

  write(data: string | Uint8Array, options: RequestOptions = {}): Promise<void> {
    return this.#inTurn(async () => {
      const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
      for (let start = 0; start < bytes.byteLength; start += PIECE_BYTES) {
        const piece = toBase64(bytes.subarray(start, start + PIECE_BYTES));
        const fields = { processId: this.#processId, data: piece, encoding: "base64" as const };
        await this.#client.call("stdin", fields, options);
      }
    });
  }

  close(options: RequestOptions = {}): Promise<void> {
    return this.#inTurn(async () => {
      await this.#client.call("closeStdin", { processId: this.#processId }, options);
    });
  }

  #inTurn(task: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(task);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}
