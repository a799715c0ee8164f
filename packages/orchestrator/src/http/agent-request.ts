import { type ClientRequest, type IncomingMessage, type RequestOptions, request } from "node:http";
import { type ErrorBody, InsienError, isErrorCode } from "@insien/protocol";
import { agentError } from "../line/agent-call.ts";
import type { AgentConnector } from "../line/agent-connector.ts";

/** How much of an agent's refusal is read. */
const SHORT_BYTES = 64 * 1024;

/**
 * Sends a request down a machine's line and gives the answer once its headers are there. `send`
 * writes and ends the body. Throws what the line or the lost machine says.
 */
export function requestAgent(
  connector: AgentConnector,
  options: RequestOptions & { signal: AbortSignal },
  send: (request: ClientRequest) => void,
): Promise<IncomingMessage> {
  const signal = AbortSignal.any([options.signal, connector.lost]);
  return new Promise((resolve, reject) => {
    const toAgent = request({ ...options, agent: connector.httpAgent, host: "agent", signal });
    toAgent.once("response", resolve);
    toAgent.once("error", (error) => reject(asLineError(error, signal)));
    send(toAgent);
  });
}

export function asLineError(error: unknown, signal: AbortSignal): InsienError {
  if (error instanceof InsienError) return error;
  const reason: unknown = signal.aborted ? signal.reason : undefined;
  if (reason instanceof InsienError) return reason;
  return new InsienError("connection_lost", "The connection to the sandbox's agent broke", {
    cause: error,
  });
}

export async function agentRefusal(response: IncomingMessage): Promise<InsienError> {
  return refusalFrom(response.statusCode ?? 0, await shortText(response));
}

/** An agent's answer of a few words, read to its end or to where it becomes absurd. */
export async function shortText(response: IncomingMessage): Promise<string> {
  let text = "";
  try {
    for await (const chunk of response.setEncoding("utf8")) {
      text += String(chunk);
      // Leaving the loop early ends the connection, so a chatty agent is not read on.
      if (text.length > SHORT_BYTES) break;
    }
  } catch {
    // What came before the connection broke may still be the whole answer.
  }
  return text;
}

/** The error in an agent's answer. The agent is not trusted: its codes must be in the table. */
export function refusalFrom(status: number, body: string): InsienError {
  const error = parsedError(body);
  if (error === undefined || !isErrorCode(error.code)) {
    return new InsienError("internal", `The agent answered with status ${status}`);
  }
  return agentError(error);
}

function parsedError(body: string): ErrorBody | undefined {
  try {
    return (JSON.parse(body) as { error?: ErrorBody } | null)?.error ?? undefined;
  } catch {
    return undefined;
  }
}
