import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { type Server, type Socket, connect, createServer } from "node:net";
import { type AddressInfo } from "node:net";
import { waitFor } from "@insien/test-kit";
import { afterEach, beforeEach, expect, test } from "vitest";
import { copyBytes, readIntoOneBuffer } from "../src/index.ts";

/** Two pairs of connected sockets: what is written to `source` is copied to `sink`. */
let server: Server;
let source: Socket;
let sink: Socket;
let from: Socket;
let to: Socket;
beforeEach(async () => {
  server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  [source, from] = await pair();
  [sink, to] = await pair();
});
afterEach(async () => {
  for (const socket of [source, sink, from, to]) socket.destroy();
  server.close();
  await once(server, "close");
});

async function pair(): Promise<[Socket, Socket]> {
  const near = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [far] = (await once(server, "connection")) as [Socket];
  return [near, far];
}

test("an accepted socket can be read into one buffer on this Node", async () => {
  const seen: string[] = [];
  expect(readIntoOneBuffer(from, 1024, (bytes) => seen.push(String(bytes)) > 0)).toBe(true);
  from.resume();
  source.end("hello");
  await once(from, "end");
  expect(seen.join("")).toBe("hello");
});

test.each(["fast", "slow"])(
  "what arrives at a %s reader is what was sent, in order",
  async (pace) => {
    copyBytes(from, to);
    from.once("end", () => to.end());
    const sent = createHash("sha256");
    const received = createHash("sha256");
    let receivedBytes = 0;
    let paused = 0;
    sink.on("data", (chunk: Buffer) => {
      received.update(chunk);
      receivedBytes += chunk.length;
      if (pace === "fast" || receivedBytes < paused * 4 * 1024 * 1024) return;
      paused += 1;
      sink.pause();
      // Long enough for every buffer on the way to fill up.
      setTimeout(() => sink.resume(), 5);
    });
    let sentBytes = 0;
    for (let round = 0; round < 60; round += 1) {
      // Sizes between a few bytes and several reads, so that both ways of reading take turns.
      const piece = randomBytes(1 + ((round * 7_919_113) % (2 * 1024 * 1024)));
      sent.update(piece);
      sentBytes += piece.length;
      if (!source.write(piece)) await once(source, "drain");
    }
    source.end();
    await once(sink, "end");
    expect(receivedBytes).toBe(sentBytes);
    expect(received.digest("hex")).toBe(sent.digest("hex"));
  },
);

test("a reader that stops holds the writer, and neither end keeps more than its buffers", async () => {
  copyBytes(from, to);
  sink.pause();
  const piece = Buffer.alloc(1024 * 1024);
  let written = 0;
  let looksWhileHeld = 0;
  const isHeld = (): boolean => {
    looksWhileHeld = source.writableNeedDrain ? looksWhileHeld + 1 : 0;
    if (looksWhileHeld > 0) return looksWhileHeld === 10;
    source.write(piece);
    written += piece.length;
    return false;
  };
  await waitFor(isHeld, { describe: "the writer to be held" });
  expect(written).toBeLessThan(64 * 1024 * 1024);
  expect(to.writableLength).toBeLessThanOrEqual(256 * 1024 + 64 * 1024);
});
