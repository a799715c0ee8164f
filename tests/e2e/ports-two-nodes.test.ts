/**
 * Goal: a port of a sandbox is reached through any of the orchestrators that share a database, also
 * where they have secrets of their own; who may come in is decided by the one that holds it.
 */
import { once } from "node:events";
import { Sandbox } from "@insien/sandbox";
import {
  type TestPostgres,
  type TestServer,
  findPostgres,
  mustHave,
  startPostgres,
  startServer,
} from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { type ProgramSaw, serveIn, visit } from "../port-visits.ts";
import { presentRuntimes } from "../runtimes.ts";

const binaries = await findPostgres();
const hasPostgres = mustHave(binaries !== undefined, "PostgreSQL");
const PORT = 8080;

describe.runIf(hasPostgres && presentRuntimes.includes("bubblewrap"))("ports on two nodes", () => {
  let postgres: TestPostgres;
  let holder: TestServer;
  let other: TestServer;
  let sandbox: Sandbox;
  let host: string;
  beforeAll(async () => {
    postgres = await startPostgres(binaries ?? "");
    const databaseUrl = await postgres.createDatabase();
    [holder, other] = await Promise.all([
      startServer({ runtime: "bubblewrap", databaseUrl }),
      startServer({ runtime: "bubblewrap", databaseUrl }),
    ]);
    sandbox = await Sandbox.create({ apiKey: holder.apiKey, apiUrl: holder.url });
    await serveIn(sandbox, PORT);
    host = `${PORT}-${sandbox.id}.localhost`;
  });
  afterAll(async () => {
    await holder?.[Symbol.asyncDispose]();
    await other?.[Symbol.asyncDispose]();
    await postgres?.[Symbol.asyncDispose]();
  });

  const tokenFrom = async (node: TestServer) => {
    const url = `${node.url}/api/v1/sandboxes/${sandbox.id}/ports/${PORT}/link`;
    const answer = await fetch(url, { method: "POST", headers: holder.headers });
    const { url: link } = (await answer.json()) as { url: string };
    return new URL(link).searchParams.get("insien_token") ?? "";
  };

  test("a key or a link opens it through the other node, and nothing else does", async () => {
    const byKey = await visit(other.url, { host, path: "/a?b", headers: holder.headers });
    expect(byKey.status).toBe(200);
    const saw = JSON.parse(byKey.text) as ProgramSaw;
    expect(saw).toMatchObject({ url: "/a?b", headers: { host } });
    expect(JSON.stringify(saw)).not.toContain(holder.apiKey);
    const token = await tokenFrom(other);
    const headers = { "x-insien-token": token };
    expect((await visit(other.url, { host, headers })).status).toBe(200);
    const path = `/preview/${sandbox.id}/${PORT}/~${token}/x`;
    expect(JSON.parse((await visit(other.url, { path })).text)).toMatchObject({ url: "/x" });
    expect((await visit(other.url, { host })).status).toBe(401);
    const wrong = { "x-insien-token": `${token.slice(0, -4)}AAAA` };
    expect((await visit(other.url, { host, headers: wrong })).status).toBe(401);
    const body = "x".repeat(300_000);
    const sent = { host, method: "POST", path: "/upload", headers, body };
    expect((await visit(other.url, sent)).text).toMatch(/^[0-9a-f]{64}$/);
  });

  test("so does a WebSocket", async () => {
    const socket = new WebSocket(other.url.replace("http", "ws"), {
      headers: { host, "x-insien-token": await tokenFrom(holder) },
    });
    await once(socket, "open");
    socket.send("hello");
    expect(String((await once(socket, "message"))[0])).toBe("hello");
    socket.close();
  });

  test("while the holder is away its owner is told so, and a stranger nothing", async () => {
    const token = await tokenFrom(holder);
    await holder.kill();
    const owner = await visit(other.url, { host, headers: holder.headers });
    expect([owner.status, owner.text]).toEqual([503, expect.stringContaining("agent_unreachable")]);
    const wrong = { "x-insien-token": `${token.slice(0, -4)}AAAA` };
    expect((await visit(other.url, { host, headers: wrong })).status).toBe(401);
    await holder.start();
  });
});
