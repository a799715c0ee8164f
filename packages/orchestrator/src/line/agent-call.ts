import type { Duplex } from "node:stream";
import {
  AGENT_PATHS,
  type ErrorBody,
  InsienError,
  LIMITS,
  type RpcAnswers,
  type RpcRequests,
  type RpcType,
  isErrorCode,
  newId,
} from "@insien/protocol";
import { WebSocket } from "ws";
import type { AgentConnector } from "./agent-connector.ts";

/** An RPC connection over a line connection. An agent that does not take it up in time loses it. */
export function agentSocket(stream: Duplex, options: { maxPayload: number }): WebSocket {
  const socket = new WebSocket(`ws://agent${AGENT_PATHS.rpc}`, {
    // The typing asks for a net.Socket; ws works with any duplex stream.
    createConnection: () => stream as never,
    perMessageDeflate: false,
    maxPayload: options.maxPayload,
  });
  // The client's own clock for it needs a socket that it connected itself.
  const timer = setTimeout(() => socket.terminate(), LIMITS.handshakeMs.value);
  socket.once("open", () => clearTimeout(timer));
  socket.once("close", () => clearTimeout(timer));
  return socket;
}

interface Frame {
  id?: string;
  type: string;
  error?: ErrorBody;
}

/** Throws `internal` for what no agent of ours would send; the agent is not trusted to be one. */
export function parseFrame(text: string): Frame {
  try {
    const frame: unknown = JSON.parse(text);
    if (typeof frame === "object" && frame !== null && "type" in frame) return frame as Frame;
  } catch {
    // Told below, as any other frame that is none.
  }
  throw new InsienError("internal", "The sandbox's agent sent something that is no frame");
}

/** An error that the agent sent; a code we do not know (the agent is not trusted) becomes `internal`. */
export function agentError(body: Partial<ErrorBody>): InsienError {
  const code = isErrorCode(body.code) ? body.code : "internal";
  const message = typeof body.message === "string" ? body.message : "The agent gave no reason";
  return new InsienError(
    code,
    message,
    body.details === undefined ? {} : { details: body.details },
  );
}

/**
 * One request to an agent and its one answer, over a connection taken for it. When `signal` aborts,
 * the connection is closed, and the agent ends what was asked.
 */
export async function callAgent<Type extends RpcType>(
  connector: AgentConnector,
  type: Type,
  fields: Omit<RpcRequests[Type], "id" | "type">,
  options: { signal?: AbortSignal } = {},
): Promise<RpcAnswers[Type]> {
  const stream = await connector.take(options);
  const socket = agentSocket(stream, { maxPayload: 4 * LIMITS.rpcFrameBytes.value });
  const signals = [options.signal, connector.lost].filter((each) => each !== undefined);
  const signal = AbortSignal.any(signals);
  const abort = () => socket.terminate();
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  try {
    return await ask<Type>(socket, { ...fields, id: newId(), type });
  } catch (error) {
    if (connector.lost.aborted) throw connector.lost.reason;
    options.signal?.throwIfAborted();
    if (error instanceof InsienError) throw error;
    throw new InsienError("connection_lost", "The connection to the sandbox's agent broke", {
      cause: error,
    });
  } finally {
    signal.removeEventListener("abort", abort);
    socket.terminate();
  }
}

/** Listens from the first moment: an agent may answer, or break the protocol, before it is asked. */
function ask<Type extends RpcType>(
  socket: WebSocket,
  request: { id: string },
): Promise<RpcAnswers[Type]> {
  return new Promise((resolve, reject) => {
    socket.on("error", reject);
    socket.on("close", () => {
      reject(
        new InsienError("connection_lost", "The agent closed the connection before it answered"),
      );
    });
    socket.on("open", () => socket.send(JSON.stringify(request)));
    socket.on("message", (data, isBinary) => {
      // Never but a Buffer, unless ws is asked for another form.
      if (isBinary || !Buffer.isBuffer(data)) return;
      try {
        const frame = parseFrame(data.toString());
        // Nothing else was asked here, so an error is about this request even when it does not say so.
        if (frame.type === "error") reject(agentError(frame.error ?? {}));
        else if (frame.id === request.id) resolve(frame as Frame & RpcAnswers[Type]);
      } catch (error) {
        reject(error);
      }
    });
  });
}
