import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { once } from "node:events";
import { connect } from "node:net";
import type { ApiKey, CleanupReport, PublishedPort, VolumeInfo } from "@insien/sandbox";
import { startServer, type TestServer, waitFor } from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Insien } from "./insien.fixture.ts";

const ALLOW_LOCAL = { INSIEN_WEBHOOK_ALLOW_PRIVATE: "1" };

let server: TestServer;
let insien: Insien;

beforeAll(async () => {
  server = await startServer({ runtime: "bubblewrap", env: ALLOW_LOCAL });
  insien = new Insien(server);
});
afterAll(() => server[Symbol.asyncDispose]());

test("a main command, its log and its environment", async () => {
  const script = 'echo "said $WORD"; echo wrong >&2; exec sleep 3600';
  const words = ["create", "--name", "main", "-e", "WORD=one", "--", "sh", "-c", script];
  await insien.text(words);
  await waitFor(async () => (await insien.text(["logs", "main"])).includes("said one"), {
    describe: "the log",
  });
  const { stdout, stderr } = await insien.run(["logs", "main"]);
  expect(stdout).toBe("said one\n");
  expect(stderr).toContain("wrong\n");
  await insien.text(["env", "set", "main", "WORD=two"]);
  expect(await insien.json(["env", "get", "main"])).toEqual({ WORD: "two" });
  const follower = insien.start(["logs", "--follow", "main"]);
  let followed = "";
  follower.stdout?.setEncoding("utf8").on("data", (text: string) => (followed += text));
  const ended = once(follower, "close");
  await waitFor(() => followed.includes("said one"), { describe: "what was printed before" });
  await insien.text(["restart", "main"]);
  // It ends with the machine it read from, as its program did.
  expect((await ended)[0]).toBe(0);
  await waitFor(async () => (await insien.text(["logs", "main"])).includes("said two"), {
    describe: "the log after the restart",
  });
  await insien.text(["rm", "main"]);
});

test("ports: published, linked and forwarded", async () => {
  await insien.text(["create", "--name", "web", "--publish", "8080"]);
  const script = "mkdir -p /tmp/www && cd /tmp/www && echo from-inside > page";
  await insien.text(["exec", "-c", "web", script]);
  const serving = insien.start([
    "exec",
    "-w",
    "/tmp/www",
    "web",
    "python3",
    "-m",
    "http.server",
    "8080",
  ]);
  const closed = once(serving, "close");
  await waitFor(async () => (await insien.json<PublishedPort[]>(["ports", "web"])).length > 0, {
    describe: "the port",
  });
  const [, pathUrl = ""] = (await insien.text(["ports", "link", "web", "8080"])).split("\n");
  const link = new URL(pathUrl);
  const page = await waitFor(
    async () => {
      const answer = await followWithCookie(`${link.origin}${link.pathname}page${link.search}`);
      return answer.status === 200 ? answer : undefined;
    },
    { describe: "the page", timeoutMs: 20_000 },
  );
  expect(await page.text()).toBe("from-inside\n");
  const forward = insien.start(["ports", "forward", "web", "0:8080"]);
  let complaints = "";
  forward.stderr?.setEncoding("utf8").on("data", (text: string) => (complaints += text));
  const [line] = (await once(forward.stdout ?? forward, "data")) as [Buffer];
  const address = /http:\/\/\S+/.exec(String(line))?.[0];
  expect(await (await fetch(`${address}/page`)).text()).toBe("from-inside\n");
  const impatient = connect(Number(new URL(address ?? "").port), "127.0.0.1");
  impatient.write("GET /page HTTP/1.1\r\nhost: here\r\n\r\n");
  await once(impatient, "data");
  impatient.destroy();
  expect(await (await fetch(`${address}/page`)).text()).toBe("from-inside\n");
  forward.kill();
  await once(forward, "close");
  expect(complaints).toBe("");
  serving.kill();
  await closed;
  await insien.text(["rm", "web"]);
});

/** A link sets a cookie and leads to the clean address, which `fetch` alone does not follow with it. */
async function followWithCookie(url: string): Promise<Response> {
  const first = await fetch(url, { redirect: "manual" });
  const [cookie = ""] = first.headers.getSetCookie();
  const location = first.headers.get("location");
  if (location === null) return first;
  return fetch(new URL(location, url), { headers: { cookie: cookie.split(";")[0] ?? "" } });
}

test("volumes: made, mounted, shared, and not deleted while they are used", async () => {
  await insien.text(["volume", "create", "data", "--mount-path", "/data"]);
  await insien.text(["create", "--name", "one", "--volume", "data:/data"]);
  await insien.text(["create", "--name", "two"]);
  await insien.text(["exec", "-c", "one", "echo shared > /data/file"]);
  expect(await insien.text(["volume", "mount", "two", "data"])).not.toBe("");
  expect(await insien.text(["exec", "two", "cat", "/data/file"])).toBe("shared");
  const [volume] = await insien.json<VolumeInfo[]>(["volume", "ls"]);
  expect(volume?.mounts).toHaveLength(2);
  const refused = await insien.run(["volume", "rm", "data"]);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain("data");
  await insien.text(["volume", "unmount", "two", "data"]);
  await insien.text(["rm", "one", "two"]);
  expect(await insien.text(["volume", "rm", "data"])).toBe("data");
});

describe("the account", () => {
  test("keys are made, used and revoked", async () => {
    const key = await insien.text(["key", "create", "for a test"]);
    const keys = await insien.json<ApiKey[]>(["key", "ls"]);
    const made = keys.find(({ name }) => name === "for a test");
    expect(key.startsWith(made?.prefix ?? "none")).toBe(true);
    expect(await insien.text(["--api-key", key, "ls", "--quiet"])).toBe("");
    await insien.text(["key", "rm", made?.id ?? ""]);
    expect((await insien.run(["--api-key", key, "ls"])).code).toBe(5);
  });

  test("quotas bound an owner, and say so", async () => {
    const key = await insien.text(["key", "create", "bounded"]);
    const keys = await insien.json<ApiKey[]>(["key", "ls"]);
    const owner = keys.find(({ name }) => name === "bounded")?.ownerId ?? "";
    expect(await insien.text(["quota", "set", owner, "--sandboxes", "0"])).toMatch(
      /sandboxes +0 +0/,
    );
    const refused = await insien.run(["--api-key", key, "create"]);
    expect(refused.code).toBe(5);
    expect(refused.stderr).toContain("sandboxes");
    await insien.text(["quota", "reset", owner]);
  });

  test("webhooks are tried, and their log is kept", async () => {
    const bodies: string[] = [];
    const receiver = createServer((request, response) => {
      request.on("data", (chunk: Buffer) => bodies.push(String(chunk)));
      request.on("end", () => response.writeHead(204).end());
    }).listen(0, "127.0.0.1");
    await once(receiver, "listening");
    const { port } = receiver.address() as AddressInfo;
    const [id = ""] = (
      await insien.text(["webhook", "create", `http://127.0.0.1:${port}/hook`])
    ).split("\n");
    expect(await insien.text(["webhook", "test", id])).toMatch(/delivered: 204$/);
    expect(bodies.some((body) => body.includes("webhook.test"))).toBe(true);
    expect(await insien.text(["webhook", "log", id])).toContain("delivered");
    await insien.text(["webhook", "rm", id]);
    receiver.close();
  });

  test("a cleanup says what it would do, to an administrator", async () => {
    const report = await insien.json<CleanupReport["items"]>(["cleanup", "--dry-run"]);
    expect(report.every(({ removed }) => removed === undefined)).toBe(true);
    const key = await insien.text(["key", "create", "not an administrator"]);
    expect((await insien.run(["--api-key", key, "cleanup", "--dry-run"])).code).toBe(5);
  });
});
