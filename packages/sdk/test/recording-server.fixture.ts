import { once } from "node:events";
import * as http from "node:http";
import type { AddressInfo } from "node:net";

export interface RecordedRequest {
  method: string;
  /** With its query. */
  path: string;
  headers: http.IncomingHttpHeaders;
  body: string;
}

export type Reply = { status?: number; headers?: Record<string, string>; body?: unknown };

/** An HTTP server that says what it is told to say, and remembers what it was asked. */
export class RecordingServer implements AsyncDisposable {
  readonly requests: RecordedRequest[] = [];
  /** What the next requests are answered with; the last one again and again. */
  reply: (request: RecordedRequest) => Reply = () => ({});
  /** Takes requests and never answers. */
  silent = false;
  readonly #server = http.createServer((request, response) => {
    void this.#answer(request, response);
  });

  static async start(): Promise<RecordingServer> {
    const server = new RecordingServer();
    server.#server.listen(0, "127.0.0.1");
    await once(server.#server, "listening");
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get last(): RecordedRequest {
    const request = this.requests.at(-1);
    if (request === undefined) throw new Error("nothing was asked");
    return request;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
    const { method = "", url: path = "", headers } = request;
    const recorded = { method, path, headers, body: Buffer.concat(parts).toString() };
    this.requests.push(recorded);
    if (this.silent) return;
    const { status = 200, headers: own = {}, body = {} } = this.reply(recorded);
    response.writeHead(status, own);
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  }
}
