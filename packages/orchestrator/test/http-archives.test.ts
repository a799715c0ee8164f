import { Agent, request } from "node:http";
import { afterEach, beforeEach, expect, test } from "vitest";
import { OWNER_KEY } from "./application-double.ts";
import { type HttpFixture, startHttpFixture } from "./http-fixture.ts";

const HEAD =
  "HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nTransfer-Encoding: chunked\r\n\r\n";

let fixture: HttpFixture;
let archive: string;
beforeEach(async () => {
  fixture = await startHttpFixture();
  archive = `${fixture.url}/api/v1/sandboxes/${await fixture.newSandbox()}/archive?path=/srv/it%20is`;
});
afterEach(async () => {
  await fixture[Symbol.asyncDispose]();
});

/** The agent's whole answer, byte for byte, after which it ends the connection. */
function agentAnswers(...pieces: string[]): void {
  fixture.agent.onRequest = ({ socket, url }) => {
    if (url?.startsWith("/archive?") !== true) return false;
    for (const piece of pieces) socket.write(piece);
    socket.end();
    return true;
  };
}

const withKey = { headers: { "x-api-key": OWNER_KEY } };

test("an archive comes as the agent made it, under a name of its own", async () => {
  agentAnswers(HEAD, "5\r\nPK\u0003\u0004x\r\n", "3\r\nend\r\n0\r\n\r\n");
  const answer = await fetch(archive, withKey);
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toBe("application/zip");
  expect(answer.headers.get("content-disposition")).toContain('filename="it is.zip"');
  expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
  expect(await answer.text()).toBe("PK\u0003\u0004xend");
  expect(fixture.agent.seen.at(-1)?.url).toBe("/archive?path=%2Fsrv%2Fit+is&format=zip");
});

test.each([
  { broken: "between chunks", rest: "5\r\nPK\u0003\u0004x\r\n" },
  { broken: "in a chunk", rest: "ff\r\nPK\u0003\u0004x" },
  { broken: "at once", rest: "" },
])("one that breaks off $broken is seen to", async ({ rest }) => {
  agentAnswers(HEAD, rest);
  const answer = await fetch(archive, withKey);
  await expect(answer.text()).rejects.toThrow();
});

test("what an agent adds to its answer is no other answer", async () => {
  const second = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfalse";
  agentAnswers(HEAD, `3\r\nend\r\n0\r\n\r\n${second}`);
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const answers: number[] = [];
  const ask = () =>
    new Promise<void>((resolve) => {
      const asked = request(archive, { ...withKey, agent });
      asked.on("response", (answer) => {
        answers.push(answer.statusCode ?? 0);
        answer.on("error", () => undefined).resume();
      });
      // A client may call what is behind the answer an error, or not look at it.
      asked.on("error", () => undefined);
      asked.on("close", resolve);
      asked.end();
    });
  await ask();
  fixture.agent.onRequest = () => false;
  await ask();
  // The second is this server's own: the agent double knows no archives.
  expect(answers).toEqual([200, 500]);
  agent.destroy();
});

test("an agent's refusal is an error of the table, and nonsense is ours", async () => {
  const refusal = JSON.stringify({
    error: { code: "file_not_found", message: "there is no /srv", hint: "", retryable: false },
  });
  agentAnswers(`HTTP/1.1 404 Not Found\r\nContent-Length: ${refusal.length}\r\n\r\n${refusal}`);
  const missing = await fetch(archive, withKey);
  expect(missing.status).toBe(404);
  expect(await missing.text()).toContain("there is no /srv");
  agentAnswers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nPK");
  expect((await fetch(archive, withKey)).status).toBe(500);
});
