import type { Duplex } from "node:stream";
import { InsienError } from "@insien/protocol";
import { type TakenBody, copyBytes } from "@insien/sockets";
import type { AgentConnector } from "../line/agent-connector.ts";
import { type AgentRequest, readHead, readShortBody, requestHead } from "./agent-answer.ts";
import { asLineError, refusalFrom } from "./agent-request.ts";

/**
 * Sends a file on a line connection of its own: the body's bytes as they come off the client's
 * socket, and not one more. Gives the agent's answer; throws its refusal, which may come before the
 * body's end, or what the line says. What the client sends after that is read and thrown away.
 */
export async function uploadToAgent(
  connector: AgentConnector,
  request: AgentRequest,
  options: { body: TakenBody; signal: AbortSignal },
): Promise<string> {
  const { body } = options;
  const signal = AbortSignal.any([options.signal, connector.lost]);
  let agent: Duplex | undefined;
  let letGo: (() => void) | undefined;
  try {
    agent = await connector.take({ signal });
    agent.on("error", () => undefined);
    letGo = send(agent, request, body);
    const { status, headers } = await readHead(agent, signal);
    const answer = await readShortBody(agent, headers, signal);
    if (status >= 400) throw refusalFrom(status, answer);
    if (status === 200) return answer;
    throw new InsienError("internal", `The agent answered an upload with status ${status}`);
  } catch (error) {
    throw asLineError(error, signal);
  } finally {
    letGo?.();
    agent?.destroy();
    body.socket.resume();
  }
}

/** The function that is returned lets go of `agent`. */
function send(agent: Duplex, request: AgentRequest, body: TakenBody): () => void {
  const { socket, lengthBytes } = body;
  agent.write(requestHead("PUT", request));
  let leftBytes = lengthBytes;
  const letGo = copyBytes(socket, agent, {
    limitBytes: lengthBytes,
    observe: ({ length }) => {
      leftBytes -= length;
    },
  });
  socket.once("end", () => {
    if (leftBytes > 0) socket.destroy();
  });
  socket.resume();
  return letGo;
}
