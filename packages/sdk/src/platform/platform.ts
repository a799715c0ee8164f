/**
 * What the SDK needs of where it runs. `node.ts` and `browser.ts` each give one `platform`; the
 * package's `imports` choose between them, so that a browser's bundle never holds Node's.
 */
export interface SocketClose {
  /** RFC 6455's close code; 1006 when the connection broke. */
  code: number;
  reason: string;
}

export interface SocketHandlers {
  /** Text frames arrive as text, binary ones as bytes that the receiver may keep. */
  message(data: string | Uint8Array): void;
  /** Called once, after the socket was open, when it closed for any reason. */
  closed(close: SocketClose): void;
}

/** An open WebSocket. */
export interface Socket {
  send(data: string | Uint8Array): void;
  /** Bytes handed to `send` that have not left yet. */
  readonly bufferedBytes: number;
  /** Stops reading, so that the sender is held up; a browser cannot, and messages keep coming. */
  pause(): void;
  resume(): void;
  /** Whether the open socket keeps a Node process alive. */
  keepAlive(wanted: boolean): void;
  close(): void;
}

export interface OpenSocketOptions {
  apiKey: string;
  handlers: SocketHandlers;
  signal?: AbortSignal | undefined;
}

export type HttpBody =
  | string
  | Uint8Array<ArrayBufferLike>
  | Blob
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array | string>
  | LocalFile;

/** A file of the machine that the program runs on. */
export interface LocalFile {
  localPath: string;
}

export interface HttpRequest {
  method: "GET" | "HEAD" | "POST" | "PUT" | "DELETE" | "PATCH";
  url: string;
  headers: Record<string, string>;
  body?: HttpBody | undefined;
  /** Path of a local file for the body of a successful answer, which then comes when it is there. */
  saveTo?: string | undefined;
  signal?: AbortSignal | undefined;
}

export interface HttpAnswer {
  status: number;
  header(name: string): string | undefined;
  /** The rest of the body in memory. */
  bytes(): Promise<Uint8Array>;
  /** The body as it arrives; pulls no faster than it is read. */
  stream(): ReadableStream<Uint8Array>;
}

export interface Platform {
  /** `undefined` for a variable that is not set, and where there is no environment. */
  environment(name: string): string | undefined;
  /**
   * Opens a WebSocket. Rejects with the server's own error where the platform can see it, else with
   * `connection_lost`.
   */
  openSocket(url: string, options: OpenSocketOptions): Promise<Socket>;
  /**
   * Rejects with `connection_lost` when the server cannot be reached. Redirects are not followed.
   */
  sendHttp(request: HttpRequest): Promise<HttpAnswer>;
  /** Lets a timer run without keeping a Node process alive. */
  unref(timer: ReturnType<typeof setInterval>): void;
  /** False in browsers, which tell nothing about why a WebSocket was refused. */
  readonly seesRefusals: boolean;
}
