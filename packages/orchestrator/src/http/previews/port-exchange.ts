import {
  type ClientRequest,
  type IncomingMessage,
  type RequestOptions,
  type ServerResponse,
  request as httpRequest,
} from "node:http";
import { pipeline } from "node:stream/promises";
import { InsienError, LIMITS } from "@insien/protocol";
import { asInsienError } from "../error-answer.ts";
import type { MachinePorts } from "./port-connection.ts";
import { hasBody } from "./request-headers.ts";

/** Where a request goes on to, and what becomes of the answer's headers on the way back. */
export interface Onward {
  /** `isRepeatable`: a connection may be used that proves closed; then it is asked again without. */
  open(isRepeatable: boolean, signal: AbortSignal): Promise<ClientRequest>;
  headersOf(answer: IncomingMessage): Record<string, string | string[]>;
  /** Aborted with the reason when there is nobody left to answer. */
  lost: AbortSignal;
}

/** Made once: the end of every visit is noticed, and an error with its stack costs more than that. */
const VISITOR_LEFT = new InsienError("connection_lost", "The visitor left");
const REPEATABLE = new Set(["GET", "HEAD", "OPTIONS"]);

/**
 * Streams a request onward and the answer back, each as fast as its reader takes it. Throws as long as
 * nothing of an answer was sent; afterwards whoever is left sees the connection break.
 */
export async function exchange(
  request: IncomingMessage,
  response: ServerResponse,
  onward: Onward,
  options: { answerMs: number },
): Promise<void> {
  const over = new AbortController();
  const leave = () => over.abort(VISITOR_LEFT);
  const breakOff = () => response.destroy();
  response.once("close", leave);
  const signal = AbortSignal.any([over.signal, onward.lost]);
  const silence = setTimeout(() => {
    const message = `The program took the request and did not answer within ${options.answerMs / 1000} s`;
    over.abort(new InsienError("port_silent", message));
  }, options.answerMs);
  if (hasBody(request.headers)) request.on("data", () => silence.refresh()).pause();
  try {
    if (response.destroyed) throw VISITOR_LEFT;
    const answer = await answerOf(request, response, onward, signal);
    clearTimeout(silence);
    // An answer without a length ends with its connection: one that is cut must not look whole.
    onward.lost.addEventListener("abort", breakOff, { once: true });
    await sendBack(request, response, answer, onward.headersOf(answer));
  } catch (error) {
    const reason = explain(error, signal);
    // Ends what is still under way to the program; after a whole answer there is nothing.
    over.abort(reason);
    throw reason;
  } finally {
    clearTimeout(silence);
    onward.lost.removeEventListener("abort", breakOff);
    response.off("close", leave);
  }
}

async function answerOf(
  request: IncomingMessage,
  response: ServerResponse,
  onward: Onward,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const isRepeatable = REPEATABLE.has(request.method ?? "") && !hasBody(request.headers);
  const first = await onward.open(isRepeatable, signal);
  try {
    return await answered(request, response, first);
  } catch (error) {
    const isStale = isRepeatable && first.reusedSocket && isBroken(error) && !signal.aborted;
    if (!isStale) throw error;
    return answered(request, response, await onward.open(false, signal));
  }
}

function answered(
  request: IncomingMessage,
  response: ServerResponse,
  toProgram: ClientRequest,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    toProgram.once("response", resolve);
    toProgram.on("error", reject);
    toProgram.once("close", () => reject(invalidAnswer("The program closed the connection")));
    toProgram.once("continue", () => response.writeContinue());
    if (!hasBody(request.headers)) toProgram.end();
    // A failure on either side ends both, and is told by the request's own error event.
    else pipeline(request, toProgram).catch(() => toProgram.destroy());
  });
}

async function sendBack(
  request: IncomingMessage,
  response: ServerResponse,
  answer: IncomingMessage,
  headers: Record<string, string | string[]>,
): Promise<void> {
  // Who answers early has stopped reading; the rest of the body must not hold its connection.
  const isEarly = !request.complete && hasBody(request.headers);
  response.writeHead(answer.statusCode ?? 502, {
    ...headers,
    ...(isEarly ? { connection: "close" } : {}),
  });
  // Events come one by one, the first perhaps long after the headers.
  response.flushHeaders();
  await pipeline(answer, response);
}

/** A request to a program in a sandbox. */
export async function openToPort(
  machine: MachinePorts,
  port: number,
  options: RequestOptions & { isRepeatable: boolean; signal: AbortSignal },
): Promise<ClientRequest> {
  const { isRepeatable, ...rest } = options;
  const common = { ...rest, maxHeaderSize: LIMITS.portAnswerHeaderBytes.value };
  try {
    if (isRepeatable) return httpRequest({ ...common, agent: machine.keptAgent(port) });
    const stream = await machine.connect(port, { signal: options.signal });
    return httpRequest({ ...common, createConnection: () => stream });
  } catch (error) {
    throw isUnsendable(error)
      ? new InsienError("invalid_request", "The request's address holds forbidden characters")
      : error;
  }
}

const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error ? String(error.code) : "";

const isBroken = (error: unknown): boolean => ["ECONNRESET", "EPIPE"].includes(codeOf(error));
const isUnsendable = (error: unknown): boolean => codeOf(error) === "ERR_UNESCAPED_CHARACTERS";

const invalidAnswer = (message: string, cause?: unknown): InsienError =>
  new InsienError("port_answer_invalid", message, { cause });

export function explain(error: unknown, signal: AbortSignal): InsienError {
  const reason: unknown = signal.aborted ? signal.reason : undefined;
  if (reason instanceof InsienError) return reason;
  if (error instanceof InsienError) return error;
  const code = codeOf(error);
  if (code === "HPE_HEADER_OVERFLOW") {
    return invalidAnswer("The headers of the program's answer are larger than is allowed", error);
  }
  if (
    code.startsWith("HPE_") ||
    code.startsWith("ERR_INVALID_CHAR") ||
    code === "ERR_HTTP_INVALID_STATUS_CODE"
  ) {
    return invalidAnswer("The program's answer is not valid HTTP", error);
  }
  if (isBroken(error)) {
    return invalidAnswer("The program closed the connection without an answer", error);
  }
  return asInsienError(error);
}
