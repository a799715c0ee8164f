/** An answer as `application/x-ndjson`: one JSON value a line. */
import { CLIENT_LIMITS as LIMITS } from "@insien/protocol/client-limits";
import { parseJson } from "../api-client.ts";
import { sandboxError } from "../errors.ts";
import { answerOf, type Shape } from "./shape.ts";
import { LineSplitter } from "./line-splitter.ts";

export const JSON_LINES = "application/x-ndjson";

/** Ends with the stream; leaving the loop cancels it. Throws `invalid_answer`. */
export async function* jsonLines<Line>(
  stream: ReadableStream<Uint8Array>,
  shape: Shape<Line>,
  what: string,
): AsyncGenerator<Line, void, undefined> {
  const decoder = new TextDecoder();
  const maxCharacters = LIMITS.sdkBacklogBytes.value;
  const splitter = new LineSplitter(maxCharacters);
  const read = (line: string): Line => {
    if (line.length < maxCharacters) return answerOf(shape, parseJson(line, what), what);
    throw sandboxError("invalid_answer", `a line of ${what} has over ${maxCharacters} characters`);
  };
  const reader = stream.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      const text = done ? decoder.decode() : decoder.decode(value, { stream: true });
      const lines = done ? [...splitter.push(text), ...splitter.end()] : splitter.push(text);
      for (const line of lines) if (line !== "") yield read(line);
      if (done) return;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}
