import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SandboxClient, SandboxConnectionError } from "@insien/sandbox";
import { afterAll, beforeAll, expect, test } from "vitest";

const ID = "a".repeat(20);
const PIECE = Buffer.alloc(300_000, "0123456789");

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "insien-saved-"));
});
afterAll(() => rm(directory, { recursive: true }));

/** Saves an export that a server sends as `answer` does. */
async function saved(answer: RequestListener): Promise<Buffer> {
  const server = createServer(answer).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const path = join(directory, `${port}.zip`);
  try {
    await using client = new SandboxClient(`http://127.0.0.1:${port}`, { apiKey: "key-of-a-test" });
    await client.exportContainer(ID, "/srv", path);
    return await readFile(path);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test.each([0, 1, 7])("%i large pieces in chunks are saved as they were sent", async (count) => {
  const body = await saved((_request, response) => {
    response.writeHead(200, { connection: "close" });
    for (let piece = 0; piece < count; piece += 1) response.write(PIECE);
    response.end("end");
  });
  expect(body).toEqual(
    Buffer.concat([...Array.from({ length: count }, () => PIECE), Buffer.from("end")]),
  );
});

test("small ones too, that come together with their head", async () => {
  const body = await saved((_request, response) => {
    response.writeHead(200, { "transfer-encoding": "chunked" });
    response.end("small");
  });
  expect(String(body)).toBe("small");
});

test.each(["destroy", "end"] as const)("one that breaks off (%s) is no success", async (verb) => {
  const broken = saved((_request, response) => {
    response.writeHead(200);
    response.write(PIECE);
    response.write(PIECE, () => response.socket?.[verb]());
  });
  await expect(broken).rejects.toThrow(SandboxConnectionError);
});
