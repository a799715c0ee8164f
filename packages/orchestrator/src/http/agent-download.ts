import type { Duplex } from "node:stream";
import type { AgentConnector } from "../line/agent-connector.ts";
import {
  type AgentRequest,
  type AnswerHead,
  readHead,
  readShortBody,
  requestHead,
} from "./agent-answer.ts";
import { asLineError, refusalFrom } from "./agent-request.ts";

/** An agent's answer of which the head was read; `body` gives the rest until it ends. */
export interface AgentDownload extends AnswerHead {
  body: Duplex;
}

/**
 * Asks for bytes on a line connection of its own, which ends after them, so that they can be copied to
 * the client as they are, three times as fast as through a parser: in HTTP/1.0 a body of known length
 * is plain, in 1.1 one of unknown length is in chunks, which tell its end from a break. Throws the
 * agent's refusal, or what the line says.
 */
export async function downloadFromAgent(
  connector: AgentConnector,
  request: AgentRequest,
  options: { signal: AbortSignal; version?: "1.0" | "1.1" },
): Promise<AgentDownload> {
  const signal = AbortSignal.any([options.signal, connector.lost]);
  const body = await connector.take({ signal });
  body.on("error", () => undefined);
  try {
    body.write(requestHead("GET", request, options.version));
    const { status, headers } = await readHead(body, signal);
    if (status >= 400) throw refusalFrom(status, await readShortBody(body, headers, signal));
    return { status, headers, body };
  } catch (error) {
    body.destroy();
    throw asLineError(error, signal);
  }
}
