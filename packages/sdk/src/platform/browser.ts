import { connectionLost, sandboxError } from "../errors.ts";
import type {
  HttpAnswer,
  HttpBody,
  HttpRequest,
  LocalFile,
  OpenSocketOptions,
  Platform,
  Socket,
} from "./platform.ts";

type FetchBody = string | Blob | Uint8Array<ArrayBuffer>;

/** A browser's WebSocket cannot set headers, so the key travels as an offered subprotocol. */
const RPC_PROTOCOL = "insien.rpc.v1";
const KEY_PROTOCOL = "insien.key.";

function openSocket(url: string, options: OpenSocketOptions): Promise<Socket> {
  const { apiKey, handlers, signal } = options;
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url, [RPC_PROTOCOL, `${KEY_PROTOCOL}${apiKey}`]);
    socket.binaryType = "arraybuffer";
    let opened = false;
    const onAbort = (): void => {
      reject(signal?.reason as Error);
      socket.close();
    };
    if (signal?.aborted === true) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    socket.addEventListener("message", (event: { data: string | ArrayBuffer }) => {
      handlers.message(typeof event.data === "string" ? event.data : new Uint8Array(event.data));
    });
    socket.addEventListener("close", (event) => {
      signal?.removeEventListener("abort", onAbort);
      reject(connectionLost(`connecting to ${new URL(url).host}`, false));
      if (opened) handlers.closed({ code: event.code, reason: event.reason });
    });
    socket.addEventListener("open", () => {
      opened = true;
      signal?.removeEventListener("abort", onAbort);
      resolve({
        // No buffer of the SDK is shared between threads, which browsers would refuse.
        send: (data: string | Uint8Array<ArrayBuffer>) => socket.send(data),
        get bufferedBytes() {
          return socket.bufferedAmount;
        },
        pause: () => undefined,
        resume: () => undefined,
        keepAlive: () => undefined,
        close: () => socket.close(),
      });
    });
  });
}

async function sendHttp(request: HttpRequest): Promise<HttpAnswer> {
  const { method, url, headers, signal, body: content } = request;
  if (request.saveTo !== undefined) throw noLocalFiles("readStream");
  if (isLocalFile(content)) throw noLocalFiles("write");
  try {
    const body = await fetchBody(content);
    const response = await fetch(url, {
      method,
      headers,
      redirect: "error",
      ...(body === undefined ? {} : { body }),
      ...(signal === undefined ? {} : { signal }),
    });
    return {
      status: response.status,
      header: (name) => response.headers.get(name) ?? undefined,
      bytes: async () => new Uint8Array(await response.arrayBuffer()),
      stream: () => response.body ?? new Blob([]).stream(),
    };
  } catch (error) {
    if (signal?.aborted === true) throw signal.reason;
    throw sandboxError("connection_lost", `cannot reach ${new URL(url).host}`, {
      details: { mayHaveHappened: true },
      cause: error,
    });
  }
}

const isLocalFile = (body: HttpBody | undefined): body is LocalFile =>
  typeof body === "object" && "localPath" in body;

const noLocalFiles = (instead: string): Error =>
  sandboxError("capability_missing", "a browser's pages have no files of their own by path", {
    hint: `Use files.${instead}, which works everywhere.`,
  });

/**
 * Browsers upload streams over HTTP/2 only, so a stream becomes a Blob first, which they may keep
 * on disk.
 */
async function fetchBody(
  body: Exclude<HttpBody, LocalFile> | undefined,
): Promise<FetchBody | undefined> {
  if (body === undefined || typeof body === "string" || body instanceof Blob) return body;
  if (body instanceof Uint8Array) return body as Uint8Array<ArrayBuffer>;
  if (body instanceof ReadableStream) return new Response(body).blob();
  const parts: (Uint8Array<ArrayBuffer> | string)[] = [];
  for await (const part of body) parts.push(part as Uint8Array<ArrayBuffer> | string);
  return new Blob(parts);
}

export const platform: Platform = {
  environment: () => undefined,
  openSocket,
  sendHttp,
  unref: () => undefined,
  seesRefusals: false,
};
