/**
 * The orchestrator's own requests to an agent. The agent is not trusted: an answer has to begin in
 * time and be short, so that one that never answers or never ends holds nothing up.
 */
import { type Agent, type IncomingMessage, type RequestOptions, request } from "node:http";
import { InsienError, LIMITS } from "@insien/protocol";

/** Opens a stream that goes on for as long as the line does. */
export async function openStream(agent: Agent, path: string): Promise<IncomingMessage> {
  const response = await send({ agent, path });
  if (response.statusCode === 200) return response;
  response.destroy();
  throw refused(path, response.statusCode);
}

/** Sends JSON and waits until the agent has accepted it; gives the few words it answers. */
export async function post(
  agent: Agent,
  path: string,
  body: unknown,
  options: { signal?: AbortSignal; timeoutMs?: number } = {},
): Promise<string> {
  const timeoutMs = options.timeoutMs ?? LIMITS.lineAnswerMs.value;
  const deadline = AbortSignal.timeout(timeoutMs);
  const signals = [deadline, options.signal].filter((each) => each !== undefined);
  const text = JSON.stringify(body);
  const headers = {
    "content-type": "application/json",
    "content-length": Buffer.byteLength(text),
  };
  const signal = AbortSignal.any(signals);
  const request = { agent, method: "POST", path, headers, signal };
  const response = await send(request, { body: text, timeoutMs });
  const words = await readWords(response);
  if (response.statusCode === 200 || response.statusCode === 204) return words;
  throw refused(path, response.statusCode, words);
}

/** Gives the answer once its head is there. */
function send(
  options: RequestOptions,
  { body, timeoutMs = LIMITS.lineAnswerMs.value }: { body?: string; timeoutMs?: number } = {},
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ ...options, host: "agent" });
    const tooLate = new InsienError(
      "agent_unreachable",
      `The agent did not answer ${options.path ?? ""} within ${timeoutMs} ms`,
    );
    const timer = setTimeout(() => outgoing.destroy(tooLate), timeoutMs);
    outgoing.once("response", (response) => {
      clearTimeout(timer);
      resolve(response);
    });
    outgoing.once("error", (error) => {
      clearTimeout(timer);
      reject(error);
    });
    outgoing.once("close", () => clearTimeout(timer));
    outgoing.end(body);
  });
}

async function readWords(response: IncomingMessage): Promise<string> {
  let words = "";
  for await (const chunk of response.setEncoding("utf8")) {
    words += String(chunk);
    // Leaving the loop early ends the connection.
    if (words.length > LIMITS.lineAnswerBytes.value) break;
  }
  return words;
}

function refused(path: string, status: number | undefined, words = ""): InsienError {
  return new InsienError("internal", `The agent answered ${status} to ${path}`, { cause: words });
}
