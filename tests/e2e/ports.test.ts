/**
 * Goal: what a program in a sandbox serves is reached by host name, by path and at ports of the host,
 * by those who may, without any network in the machine.
 */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import { Sandbox } from "@insien/sandbox";
import { type TestServer, startServer, waitFor } from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { type ProgramSaw, open, serveIn, visit } from "../port-visits.ts";
import { presentRuntimes } from "../runtimes.ts";

const MIB = 1024 * 1024;
const PORT = 8080;

interface PortView {
  url: string;
  path_url: string;
  external_address?: string;
  external_error?: string;
}

/** A port of this host that nobody has; somebody may take it before us, which is rare enough. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

describe.each(presentRuntimes)("ports on %s", (runtime) => {
  let server: TestServer;
  let sandbox: Sandbox;
  let host: string;
  beforeAll(async () => {
    server = await startServer({ runtime });
    sandbox = await Sandbox.create({ apiKey: server.apiKey, apiUrl: server.url });
    await serveIn(sandbox, PORT);
    host = `${PORT}-${sandbox.id}.localhost:${new URL(server.url).port}`;
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  const api = async (method: string, path: string, body?: object) => {
    const answer = await fetch(`${server.url}/api/v1/sandboxes${path}`, {
      method,
      headers: { ...server.headers, "content-type": "application/json" },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: answer.status, json: (await answer.json()) as object };
  };
  const linkOf = async (port = PORT) =>
    (await api("POST", `/${sandbox.id}/ports/${port}/link`)).json as { url: string };
  const tokenOf = async () => new URL((await linkOf()).url).searchParams.get("insien_token") ?? "";

  test("the host form needs a key or a link, and then is the program's own", async () => {
    expect((await visit(server.url, { host })).status).toBe(401);
    const headers = { ...server.headers, "x-own": "kept", cookie: "a=b" };
    const seen = await visit(server.url, { host, path: "/headers?q=1", headers });
    expect(seen.status).toBe(200);
    const saw = JSON.parse(seen.text) as ProgramSaw;
    expect(saw.url).toBe("/headers?q=1");
    expect(saw.headers).toMatchObject({
      host,
      "x-own": "kept",
      cookie: "a=b",
      "x-forwarded-host": host,
      "x-forwarded-proto": "http",
    });
    expect(saw.headers["x-api-key"]).toBeUndefined();
    const token = await tokenOf();
    expect((await visit(server.url, { host, headers: { "x-insien-token": token } })).status).toBe(
      200,
    );
  });

  test("the path form leads to the same program, in an origin of its own", async () => {
    const path = `/preview/${sandbox.id}/${PORT}`;
    const headers = server.headers;
    const seen = await visit(server.url, { path: `${path}/a/b?c`, headers });
    expect(JSON.parse(seen.text)).toMatchObject({ url: "/a/b?c" });
    expect(seen.headers["content-security-policy"]).toMatch(/^sandbox (?!.*same-origin)/);
    const bare = await visit(server.url, { path: `${path}?x`, headers });
    expect([bare.status, bare.headers.location]).toEqual([308, `${path}/?x`]);
    const to = await visit(server.url, { path: `${path}/redirect?to=/next`, headers });
    expect(to.headers.location).toBe(`${path}/next`);
    const set = encodeURIComponent("id=1; Path=/deep; Domain=localhost; HttpOnly");
    const cookie = await visit(server.url, { path: `${path}/cookies?set=${set}`, headers });
    expect(cookie.headers["set-cookie"]).toEqual([
      `insien.${PORT}-${sandbox.id}.id=1; HttpOnly; Path=${path}/deep`,
    ]);
  });

  test("uploads, downloads and events stream, in memory that does not grow", async () => {
    const headers = server.headers;
    const body = randomBytes(32 * MIB);
    const sent = await visit(server.url, { host, path: "/upload", method: "POST", headers, body });
    expect(sent.text).toBe(createHash("sha256").update(body).digest("hex"));
    const residentBytes = async () => {
      const status = await readFile(`/proc/${server.pid}/status`, "utf8");
      return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) * 1024;
    };
    const before = await residentBytes();
    const answer = await open(server.url, { host, path: "/download?mib=100", headers });
    let length = 0;
    let peak = 0;
    let looks = 1;
    for await (const chunk of answer) {
      length += (chunk as Buffer).length;
      if (length < looks * 10 * MIB) continue;
      looks += 1;
      peak = Math.max(peak, await residentBytes());
    }
    expect(looks).toBe(11);
    expect(length).toBe(100 * MIB);
    expect(peak - before).toBeLessThan(64 * MIB);
    const events = await open(server.url, { host, path: "/events", headers });
    const [first] = (await once(events, "data")) as [Buffer];
    expect(String(first)).toBe("data: 1\n\n");
    events.destroy();
  });

  test("a WebSocket reaches the program", async () => {
    const socket = new WebSocket(server.url.replace("http", "ws"), {
      headers: { ...server.headers, host },
    });
    await once(socket, "open");
    socket.send("hello");
    expect(String((await once(socket, "message"))[0])).toBe("hello");
    socket.close();
    await once(socket, "close");
    const denied = new WebSocket(server.url.replace("http", "ws"), { headers: { host } });
    denied.on("error", () => undefined);
    const [, refusal] = (await once(denied, "unexpected-response")) as [
      unknown,
      { statusCode: number },
    ];
    expect(refusal.statusCode).toBe(401);
  });

  test("a port nobody listens on is said at once, to people and to programs", async () => {
    const quiet = host.replace(String(PORT), "9999");
    const page = await visit(server.url, {
      host: quiet,
      headers: { ...server.headers, accept: "text/html" },
    });
    expect(page.status).toBe(502);
    expect(page.text).toContain("port 9999");
    expect(page.text).toContain('http-equiv="refresh"');
    const json = await visit(server.url, { host: quiet, headers: server.headers });
    expect(JSON.parse(json.text)).toMatchObject({ error: { code: "port_not_listening" } });
  });

  test("a subdomain and external ports, for all who may", async () => {
    const [external, raw] = [await freePort(), await freePort()];
    const subdomain = `shop-${sandbox.id.slice(0, 6)}`;
    const added = await api("POST", `/${sandbox.id}/ports`, {
      ...{ internal: PORT, external, subdomain },
    });
    expect(added).toMatchObject({ status: 201, json: { subdomain, public: false } });
    const named = `${subdomain}.localhost`;
    expect((await visit(server.url, { host: named })).status).toBe(401);
    const outside = `http://127.0.0.1:${external}`;
    expect((await visit(outside)).status).toBe(401);
    expect((await visit(outside, { headers: server.headers })).status).toBe(200);
    const opened = await api("PATCH", `/${sandbox.id}/ports/${PORT}`, { public: true });
    expect(opened.json).toMatchObject({ public: true });
    expect((await visit(server.url, { host: named })).status).toBe(200);
    expect((await visit(outside)).status).toBe(200);

    const closed = await api("POST", `/${sandbox.id}/ports`, {
      ...{ internal: PORT + 1, external: raw, protocol: "tcp" },
    });
    expect(closed.status).toBe(400);
    const tcp = await api("POST", `/${sandbox.id}/ports`, {
      ...{ internal: PORT + 1, external: raw, protocol: "tcp", public: true },
    });
    expect((tcp.json as PortView).external_address).toBe(`127.0.0.1:${raw}`);
    const bytes = randomBytes(4 * MIB);
    const socket = connect({ host: "127.0.0.1", port: raw, allowHalfOpen: true });
    socket.end(bytes);
    const back: Buffer[] = [];
    for await (const chunk of socket) back.push(chunk as Buffer);
    expect(Buffer.concat(back).equals(bytes)).toBe(true);

    const other = await Sandbox.create({ apiKey: server.apiKey, apiUrl: server.url });
    const takenName = await api("POST", `/${other.id}/ports`, { internal: 1, subdomain });
    expect(takenName.status).toBe(409);
    expect(JSON.stringify(takenName.json)).toContain(subdomain);
    const takenPort = await api("POST", `/${other.id}/ports`, { internal: 1, external });
    expect([takenPort.status, JSON.stringify(takenPort.json)]).toEqual([
      409,
      expect.stringContaining(String(external)),
    ]);
    const holder = createServer().listen(0, "127.0.0.1");
    await once(holder, "listening");
    const { port: held } = holder.address() as AddressInfo;
    const created = await api("POST", "", { ports: [{ internal: 80, external: held }] });
    expect([created.status, JSON.stringify(created.json)]).toEqual([
      409,
      expect.stringContaining(String(held)),
    ]);
    holder.close();
    await other.destroy();
  });

  test("a restarted server leads there again, and says which port was taken meanwhile", async () => {
    const { items } = (await api("GET", `/${sandbox.id}/ports`)).json as {
      items: { internal: number; external: number }[];
    };
    const external = items.find(({ internal }) => internal === PORT)?.external ?? 0;
    const raw = items.find(({ internal }) => internal === PORT + 1)?.external ?? 0;
    const token = await tokenOf();
    await server.kill();
    const thief = createServer().listen(raw, "127.0.0.1");
    await once(thief, "listening");
    await server.start();
    await waitFor(
      async () =>
        (await visit(`http://127.0.0.1:${external}`).catch(() => undefined))?.status === 200,
      { describe: "the external port to lead to the program again", timeoutMs: 20_000 },
    );
    const linked = await visit(server.url, { host, headers: { "x-insien-token": token } });
    expect(linked.status).toBe(200);
    const list = (await api("GET", `/${sandbox.id}/ports`)).json as { items: PortView[] };
    expect(JSON.stringify(list.items)).toContain(`external port ${raw} of this host is taken`);
    thief.close();
  });

  test("with the sandbox its links, names and external ports are gone", async () => {
    const token = await tokenOf();
    const { items } = (await api("GET", `/${sandbox.id}/ports`)).json as {
      items: { internal: number; external: number }[];
    };
    const external = items.find(({ internal }) => internal === PORT)?.external ?? 0;
    await sandbox.destroy();
    const linked = await visit(server.url, { host, headers: { "x-insien-token": token } });
    expect(linked.status).toBe(401);
    await expect(visit(`http://127.0.0.1:${external}`)).rejects.toThrow(/ECONNREFUSED/);
    const next = await api("POST", "", { ports: [{ internal: PORT, external }] });
    expect(next.status).toBe(201);
  });
});
