import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import { setImmediate } from "node:timers/promises";
import { InsienError, LIMITS, type LogLine } from "@insien/protocol";
import { mismatch, type Shape } from "../rpc/shape.ts";
import { LogReader } from "./log-reader.ts";
import type { Log } from "./log.ts";

/** So much is gathered before it is written: lines are short. */
const BATCH_CHARACTERS = 64 * 1024;

const QUERY_SHAPE: Shape = {
  type: "object",
  properties: {
    follow: { type: "string", enum: ["true", "false"] },
    tail: { type: "string", pattern: "^\\d{1,6}$" },
  },
};

interface LogWish {
  follow: boolean;
  tailLines: number | undefined;
}

function wishOf(request: IncomingMessage): LogWish {
  const { searchParams } = new URL(request.url ?? "/", "http://agent");
  const query = Object.fromEntries(searchParams);
  const wrong = mismatch(QUERY_SHAPE, query);
  if (wrong !== undefined) {
    const { field, message } = wrong;
    throw new InsienError("invalid_request", `${field} ${message}`, { details: { field } });
  }
  const { follow, tail } = query;
  return { follow: follow === "true", tailLines: tail === undefined ? undefined : Number(tail) };
}

const textOf = (lines: readonly LogLine[]): string =>
  lines.map((line) => `${JSON.stringify(line)}\n`).join("");

/** Everything that can be read now, up to a batch; empty when there is nothing. */
function batchOf(reader: LogReader): string {
  let text = "";
  while (text.length < BATCH_CHARACTERS) {
    const lines = reader.next();
    if (lines === undefined) break;
    text += textOf(lines);
  }
  return text;
}

/** Resolves when the log grew, after `quietMs` if given, or when the reader left. */
function growth(log: Log, response: ServerResponse, quietMs: number | undefined): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (grew: boolean) => (): void => {
      clearTimeout(timer);
      forget();
      response.off("close", left);
      resolve(grew);
    };
    const quiet = settle(false);
    const left = settle(false);
    const forget = log.listen(settle(true));
    const timer = quietMs === undefined ? undefined : setTimeout(quiet, quietMs);
    response.once("close", left);
  });
}

/** Writes, and waits until a reader that is behind has caught up: no more than a batch waits here. */
async function send(response: ServerResponse, text: string): Promise<void> {
  if (response.destroyed || response.write(text)) return;
  const left = new AbortController();
  const close = (): void => left.abort();
  response.once("close", close);
  await once(response, "drain", { signal: left.signal }).catch(() => undefined);
  response.off("close", close);
}

async function follow(log: Log, reader: LogReader, response: ServerResponse): Promise<void> {
  while (!response.destroyed) {
    const batch = batchOf(reader);
    if (batch !== "") {
      await send(response, batch);
      // A main command that never pauses must not keep the agent from everything else.
      await setImmediate();
      continue;
    }
    const quietMs = reader.hasUnfinished ? LIMITS.mainLogQuietMs.value : undefined;
    const grew = await growth(log, response, quietMs);
    if (!grew) await send(response, textOf(reader.finish({ wholeCharacters: true })));
  }
}

async function sendWhatThereIs(reader: LogReader, response: ServerResponse): Promise<void> {
  for (let batch = batchOf(reader); batch !== ""; batch = batchOf(reader)) {
    await send(response, batch);
    if (response.destroyed) return;
    await setImmediate();
  }
  response.end(textOf(reader.finish()));
}

/**
 * `/logs` on the line: `LogLine`s of the main command over all its runs, newline-delimited, oldest
 * first; `?tail=` for the last lines only, `&follow=true` to stay. A reader that does not keep up
 * never slows the main command: it is told in a `system` line how much it missed.
 */
export async function handleLogs(
  request: IncomingMessage,
  response: ServerResponse,
  log: Log,
): Promise<void> {
  if (request.method !== "GET") {
    response.setHeader("Allow", "GET");
    throw new InsienError("route_not_found", `/logs does not take ${request.method}`);
  }
  const wish = wishOf(request);
  const reader = new LogReader(log, wish.tailLines);
  response.writeHead(200, { "Content-Type": "application/x-ndjson" });
  response.flushHeaders();
  if (wish.follow) await follow(log, reader, response);
  else await sendWhatThereIs(reader, response);
}
