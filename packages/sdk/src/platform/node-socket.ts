import type { ClientRequest, IncomingMessage } from "node:http";
import type { Socket as TcpSocket } from "node:net";
import { CLIENT_LIMITS as LIMITS } from "@insien/protocol/client-limits";
import WebSocket from "ws";
import { connectionLost, errorFromText, sandboxError } from "../errors.ts";
import type { OpenSocketOptions, Socket } from "./platform.ts";

const ERROR_BODY_BYTES = 64 * 1024;

/** Reads why the server refused: its error body, or at least its status. */
async function refusal(url: string, response: IncomingMessage): Promise<Error> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.byteLength;
    if (size > ERROR_BODY_BYTES) break;
    chunks.push(chunk);
  }
  const status = response.statusCode ?? 0;
  return (
    errorFromText(Buffer.concat(chunks).toString()) ??
    sandboxError(
      "agent_unreachable",
      `${new URL(url).host} answered ${status} instead of a WebSocket`,
    )
  );
}

export function openNodeSocket(url: string, options: OpenSocketOptions): Promise<Socket> {
  const { apiKey, handlers, signal } = options;
  const { host } = new URL(url);
  return new Promise((resolve, reject) => {
    let opened = false;
    let tcp: TcpSocket | undefined;
    const socket = new WebSocket(url, {
      headers: { "X-API-Key": apiKey },
      perMessageDeflate: false,
      maxPayload: 2 * LIMITS.rpcFrameBytes.value,
    });
    const onAbort = (): void => {
      reject(signal?.reason as Error);
      socket.terminate();
    };
    if (signal?.aborted === true) onAbort();
    signal?.addEventListener("abort", onAbort, { once: true });
    socket.on("upgrade", (response) => {
      tcp = response.socket;
    });
    socket.on("unexpected-response", (request: ClientRequest, response: IncomingMessage) => {
      refusal(url, response)
        .catch((error: unknown) => connectionLost(`connecting to ${host}`, false, error))
        .then(reject, reject)
        .finally(() => request.destroy());
    });
    socket.on("message", (data: Buffer, isBinary: boolean) => {
      handlers.message(isBinary ? data : data.toString());
    });
    socket.on("error", (error) => {
      reject(
        sandboxError("connection_lost", `cannot connect to ${host}: ${error.message}`, {
          details: { mayHaveHappened: false },
          cause: error,
        }),
      );
    });
    socket.on("close", (code, reason) => {
      signal?.removeEventListener("abort", onAbort);
      reject(connectionLost(`connecting to ${host}`, false));
      if (opened) handlers.closed({ code, reason: reason.toString() });
    });
    socket.on("open", () => {
      opened = true;
      signal?.removeEventListener("abort", onAbort);
      resolve({
        send: (data) => socket.send(data),
        get bufferedBytes() {
          return socket.bufferedAmount;
        },
        pause: () => socket.pause(),
        resume: () => socket.resume(),
        keepAlive: (wanted) => {
          // A destroyed socket would keep each call as a listener for a connection to come.
          if (tcp === undefined || tcp.destroyed) return;
          if (wanted) tcp.ref();
          else tcp.unref();
        },
        close: () => socket.terminate(),
      });
    });
  });
}
