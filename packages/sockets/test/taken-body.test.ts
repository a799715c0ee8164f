import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import { type AddressInfo, type Socket, connect } from "node:net";
import { Writable } from "node:stream";
import { waitFor } from "@insien/test-kit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type TakenBody, copyBytes, takeBody } from "../src/index.ts";

let server: Server;
let client: Socket;
/** What the client was answered. */
let answer: string;
/** What `takeBody` gave. */
let taken: TakenBody | undefined;
let handle: (request: IncomingMessage, response: ServerResponse) => Promise<void>;
beforeEach(async () => {
  server = createServer((request, response) => void handle(request, response));
  await once(server.listen(0, "127.0.0.1"), "listening");
  client = connect({ port: (server.address() as AddressInfo).port, allowHalfOpen: true });
  answer = "";
  taken = undefined;
  client.on("error", () => undefined);
  client.on("data", (chunk) => (answer += String(chunk)));
});
afterEach(() => {
  client.destroy();
  server.closeAllConnections();
  server.close();
});

const head = (lines: string) => `PUT / HTTP/1.1\r\nHost: x\r\n${lines}\r\n\r\n`;
const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

/** Takes the body, and answers with the hash of what came. */
async function hashTaken(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = await takeBody(request, response, { minimumBytes: 1, lingerMs: 200 });
  taken = body;
  if (body === undefined) {
    response.end("not taken");
    return;
  }
  const hash = createHash("sha256");
  const to = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      hash.update(chunk);
      setImmediate(done);
    },
    final: (done) => {
      response.end(hash.digest("hex"));
      done();
    },
  });
  copyBytes(body.socket, to, { limitBytes: body.lengthBytes, onLimit: () => to.end() });
  body.socket.resume();
}

describe.each([0, 50])("taken %i ms after the request came", (delayMs) => {
  test.each([1000, 100_000, 1_100_000, 20_000_000])(
    "a body of %i bytes is what was sent, wherever the parser had got to",
    async (bytes) => {
      handle = async (request, response) => {
        const wait = (done: () => void) => void setTimeout(done, delayMs); // slow: the parser reads on
        if (delayMs > 0) await new Promise<void>(wait);
        await hashTaken(request, response);
      };
      const body = randomBytes(bytes);
      // Without the last byte, since what is complete could not be taken.
      client.write(
        Buffer.concat([Buffer.from(head(`Content-Length: ${bytes}`)), body.subarray(0, bytes - 1)]),
      );
      await waitFor(() => taken !== undefined, { describe: "the body to be taken" });
      client.write(body.subarray(bytes - 1));
      await waitFor(() => answer.endsWith(sha256(body)), { describe: "the body's hash" });
    },
  );
});

test("what follows the body is not the body's, and no other request either", async () => {
  let requests = 0;
  handle = (request, response) => {
    requests += 1;
    return hashTaken(request, response);
  };
  const body = randomBytes(2_000_000);
  client.write(head(`Content-Length: ${body.length}`));
  client.write(Buffer.concat([body, Buffer.from(head("Content-Length: 0"))]));
  await once(client, "end");
  expect(answer).toContain(sha256(body));
  expect(requests).toBe(1);
});

test("a client that still sends when it is refused reads why, and is then cut off", async () => {
  handle = async (request, response) => {
    await takeBody(request, response, { minimumBytes: 1, lingerMs: 200 });
    response.writeHead(403, { "content-length": 7 }).end("refused");
  };
  client.write(head("Content-Length: 1000000000"));
  const piece = Buffer.alloc(100_000);
  const sending = setInterval(() => client.write(piece), 1);
  client.once("close", () => clearInterval(sending));
  await waitFor(() => answer.endsWith("refused"), { describe: "the refusal" });
  expect(answer).toContain("Connection: close");
  await waitFor(() => client.destroyed, { describe: "the connection to be cut" });
});

test("a client that ends its side behind the body gets its answer", async () => {
  handle = hashTaken;
  const body = randomBytes(2_000_000);
  client.write(head(`Content-Length: ${body.length}`));
  client.end(body);
  await once(client, "end");
  expect(answer).toContain(sha256(body));
});

test.each([
  ["is in chunks", "Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"],
  ["is complete", "Content-Length: 5", "hello"],
])("a body that %s is left to the parser", async (_name, header, body) => {
  handle = hashTaken;
  client.write(head(header) + body);
  await waitFor(() => answer.endsWith("not taken") || answer.includes("\r\nnot taken\r\n"), {
    describe: "an answer",
  });
});
