import { Server } from "node:http";
import { Duplex } from "node:stream";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { IdleMemory } from "./idle-memory.ts";

let tidied = 0;
beforeEach(() => {
  tidied = 0;
  vi.useFakeTimers();
});
afterEach(() => void vi.useRealTimers());

const makeMemory = (): IdleMemory =>
  new IdleMemory({ trimHeap: () => void (tidied += 1), letGo: () => undefined });

test("memory is tidied once after each time that something happened", () => {
  const memory = makeMemory();
  vi.advanceTimersByTime(900);
  memory.touch();
  vi.advanceTimersByTime(900);
  expect(tidied).toBe(0);
  vi.advanceTimersByTime(60_000);
  expect(tidied).toBe(1);
  memory.touch();
  vi.advanceTimersByTime(60_000);
  expect(tidied).toBe(2);
});

test("what a slow reader has yet to take is tidied away when it took it", () => {
  const memory = makeMemory();
  const server = new Server();
  memory.watch(server);
  let take: (() => void) | undefined;
  const stream = new Duplex({
    read: () => undefined,
    write: (_chunk, _encoding, taken) => void (take = taken),
  });
  server.emit("connection", stream);
  stream.write("an answer");
  vi.advanceTimersByTime(60_000);
  expect(tidied).toBe(0);
  take?.();
  vi.advanceTimersByTime(60_000);
  expect(tidied).toBe(1);
});
