import { once } from "node:events";
import { connect } from "node:net";
import { ERRORS, InsienError, errorAnswer, isErrorCode } from "@insien/protocol";
import { waitFor } from "@insien/test-kit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { OWNER_KEY, STRANGER_KEY } from "./application-double.ts";
import { type HttpFixture, startHttpFixture } from "./http-fixture.ts";

let fixture: HttpFixture;
beforeEach(async () => {
  fixture = await startHttpFixture();
});
afterEach(async () => {
  await fixture[Symbol.asyncDispose]();
});

/** Sends text as it is and gives all that comes back until the server closes. */
async function raw(text: string, url = fixture.url): Promise<string> {
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  socket.write(text);
  let answer = "";
  socket.on("data", (chunk) => (answer += String(chunk)));
  socket.on("error", () => undefined);
  await once(socket, "close");
  return answer;
}

describe("every route", () => {
  const anId = "abcdefghij0123456789";
  /** Such as would be accepted, so that it is the owner who is asked for and not the body. */
  const BODIES: Record<string, object> = {
    "POST exec": { cmd: "id" },
    "POST timeout": { ttl_seconds: 5 },
    "PATCH environment": { environment: { A: "1" } },
    "PUT entrypoint": { command: "true" },
    "POST ports": { internal: 80 },
    "PATCH ports/:port": { public: true },
    "POST ports/:port/link": {},
    "POST volumes": { volume: "v" },
  };
  /** Open, and each with what it says to nothing: that a body, a refresh token or a provider is missing. */
  const SIGN_IN: Record<string, number> = {
    "/api/v1/auth/config": 200,
    "/api/v1/auth/sign-up": 400,
    "/api/v1/auth/sign-in": 400,
    "/api/v1/auth/refresh": 401,
    "/api/v1/auth/sign-out": 401,
    "/api/v1/auth/oidc": 404,
    "/api/v1/auth/oidc/callback": 404,
  };
  const pathOf = (url: string) => url.replace(":id", anId).replace(":port", "80");

  test("wants a key, save the open ones, and hides sandboxes from strangers", async () => {
    const routes = fixture.server.routes.filter(({ documented }) => documented);
    expect(routes.length).toBeGreaterThan(20);
    const open = routes.filter(({ auth }) => auth === "open");
    expect(new Set(open.map(({ url }) => url))).toEqual(
      new Set(["/health", "/openapi.json", "/docs", ...Object.keys(SIGN_IN)]),
    );
    const mine = await fixture.newSandbox();
    for (const { method, url, auth } of routes) {
      const without = await fixture.send(method, pathOf(url), { key: null });
      const name = `${method} ${url}`;
      expect([name, without.status]).toEqual([name, auth === "open" ? (SIGN_IN[url] ?? 200) : 401]);
      if (!url.includes("sandbox") || !url.includes(":id")) continue;
      const query = /\/(?:files|directories|archive)$/.test(url) ? "?path=x" : "";
      const path = `${pathOf(url).replace(anId, mine)}${query}`;
      const body = BODIES[`${method} ${url.slice(url.indexOf(":id") + 4)}`];
      const stranger = await fixture.send(method, path, {
        key: STRANGER_KEY,
        ...(body === undefined ? {} : { body }),
      });
      expect([name, stranger.status]).toEqual([name, 404]);
    }
  });

  test("gives the error shape without a key, and says how to send one", async () => {
    const { headers, body } = await fixture.send("GET", "/api/v1/sandboxes", { key: null });
    const { error } = errorAnswer.strict().parse(body);
    expect(error).toMatchObject({ code: "unauthorized", hint: ERRORS.unauthorized.hint });
    expect(error.requestId).toBe(headers.get("x-request-id"));
    expect(headers.get("www-authenticate")).toContain("Bearer");
  });

  test("takes Authorization: Bearer too", async () => {
    const headers = { authorization: `Bearer ${OWNER_KEY}` };
    expect((await fixture.send("GET", "/api/v1/sandboxes", { key: null, headers })).status).toBe(
      200,
    );
  });
});

describe("a bad request names what is wrong", () => {
  const create = (body: unknown) => fixture.send("POST", "/api/v1/sandboxes", { body });

  test.each([
    [{ ttlSeconds: 5 }, "/ttlSeconds", "unknown field 'ttlSeconds': did you mean 'ttl_seconds'?"],
    [{ env: {} }, "/env", "unknown field 'env': did you mean 'environment'?"],
    [{ resources: { memroy: "1g" } }, "/resources/memroy", "did you mean 'memory'?"],
    [
      { resources: { memory: "lots" } },
      "/resources/memory",
      "resources.memory: must be a size from 32m",
    ],
    [{ buildContext: {} }, "/buildContext", "did you mean 'build_context'?"],
    [{ forceBuild: true }, "/forceBuild", "did you mean 'force_build'?"],
    [{ readOnly: true }, "/readOnly", "did you mean 'read_only'?"],
    [{ resources: { maxRetries: 1 } }, "/resources/maxRetries", "did you mean 'max_retries'?"],
    [
      { ports: [{ internal: 80, isPublic: true }] },
      "/ports/0/isPublic",
      "ports.0.isPublic: unknown field 'isPublic': did you mean 'public'?",
    ],
    [
      { volumes: { data: { mountPath: "/data" } } },
      "/volumes/data/mountPath",
      "volumes.data.mountPath: unknown field 'mountPath': did you mean 'mount_path'?",
    ],
    [{ command: [] }, "/command", "command: too small"],
    [{ command: 3 }, "/command", "must be text, or a list of a program and its arguments"],
    [{ environment: { A: "\0" } }, "/environment/A", "environment.A: must be without NUL"],
    [{ environment: { "A B": "" } }, "/environment/A B", "as a name, must be a variable name"],
    [{ metadata: { a: "\ud800" } }, "/metadata/a", "must be without NUL and halves"],
    [
      { build_context: { Dockerfile: "FROM x", "../x": "" } },
      "/build_context/..~1x",
      "build_context.../x: as a name, must be a relative path",
    ],
    [{ build_context: { "a.txt": "" } }, "/build_context", "must have a file named Dockerfile"],
    [{ name: 5 }, "/name", "name: expected string, received number"],
    [{ resources: { quantum: 1 } }, "/resources/quantum", "it may have cpu, memory, pids"],
    [[], "", "body: expected object, received array"],
  ])("%j", async (body, pointer, message) => {
    const { status, body: answer } = await create(body);
    expect(status).toBe(400);
    expect(answer.error).toMatchObject({
      code: "invalid_request",
      details: { in: "body", pointer },
    });
    expect(answer.error.message).toContain(message);
  });

  test.each([
    ["PATCH", "environment", { env: {} }, "did you mean 'environment'?"],
    ["PATCH", "environment", { environment: {}, isMerge: true }, "did you mean 'merge'?"],
    ["PUT", "entrypoint", { entryPoint: "x" }, "did you mean 'entrypoint'?"],
    ["PUT", "entrypoint", {}, "give entrypoint, command or both"],
    ["POST", "main/stop", { graceMs: 1 }, "did you mean 'grace_ms'?"],
    ["POST", "restart", { graceMs: 1 }, "did you mean 'grace_ms'?"],
    ["POST", "volumes", { volume: "v", mountPath: "/v" }, "did you mean 'mount_path'?"],
    ["POST", "ports", { internal: 80, isPublic: true }, "did you mean 'public'?"],
  ])("%s %s %j", async (method, what, body, message) => {
    const id = await fixture.newSandbox();
    const answer = await fixture.send(method, `/api/v1/sandboxes/${id}/${what}`, { body });
    expect([answer.status, answer.body.error?.message]).toEqual([
      400,
      expect.stringContaining(message),
    ]);
  });

  test("in the query and in the path too", async () => {
    const query = await fixture.send("GET", "/api/v1/sandboxes?limit=0&stat=running");
    expect(query.body.error).toMatchObject({ code: "invalid_request", details: { in: "query" } });
    const path = await fixture.send("GET", "/api/v1/sandboxes/NOT-AN-ID");
    expect([path.status, path.body.error.message]).toEqual([
      400,
      "id: must be a sandbox id: lower-case letters and digits",
    ]);
  });

  test("a missing field is said to be missing", async () => {
    const { body } = await fixture.send("POST", "/api/v1/keys", { body: {} });
    expect(body.error.message).toBe("name: is missing; expected string");
  });

  test("broken JSON, another type, a body past the limit", async () => {
    const broken = await fixture.send("POST", "/sandbox/create", { body: "{no" });
    expect([broken.status, broken.body.error.code]).toEqual([400, "invalid_request"]);
    const headers = { "content-type": "application/x-www-form-urlencoded" };
    const form = await fixture.send("POST", "/sandbox/create", { body: "a=b", headers });
    expect([form.status, form.body.error.code]).toEqual([415, "unsupported_media_type"]);
    const name = "x".repeat(1024 * 1024);
    const large = await fixture.send("POST", "/api/v1/keys", { body: { name } });
    expect([large.status, large.body.error.code]).toEqual([413, "payload_too_large"]);
  });

  test("what an image is built from may be large, within its bound", async () => {
    const context = (mebibytes: number) => ({
      build_context: { Dockerfile: "FROM scratch", "data.txt": "x".repeat(mebibytes * 1024 ** 2) },
    });
    expect((await create(context(15))).status).toBe(201);
    const larger = await create(context(16));
    expect([larger.status, larger.body.error.message]).toEqual([
      400,
      expect.stringContaining("build_context: must be at most"),
    ]);
    expect((await create(context(18))).status).toBe(413);
  });

  test("a body that would change what objects inherit is refused", async () => {
    const { status } = await create('{"metadata":{"__proto__":{"admin":true}}}');
    expect(status).toBe(400);
  });
});

describe("answers to what is not there or went wrong", () => {
  test("an unknown route and an unreadable address are JSON too", async () => {
    const unknown = await fixture.send("GET", "/api/v2/things?api_key=secret", { key: null });
    expect([unknown.status, unknown.body.error.code]).toEqual([404, "route_not_found"]);
    expect(unknown.body.error.message).toBe("There is no GET /api/v2/things here");
    const unreadable = await fixture.send("GET", "/sandbox/%zz/status");
    expect([unreadable.status, unreadable.body.error.code]).toEqual([400, "invalid_request"]);
    expect((await fixture.send("PATCH", "/api/v1/sandboxes")).status).toBe(404);
  });

  test("what the application throws keeps its code; a defect says nothing of its inside", async () => {
    fixture.application.fail = new InsienError("no_capacity", "All 4 machines are taken", {
      details: { retryAfterSeconds: 3 },
    });
    const busy = await fixture.send("POST", "/sandbox/create");
    expect([busy.status, busy.headers.get("retry-after")]).toEqual([503, "3"]);
    expect(busy.body.error).toMatchObject({
      code: "no_capacity",
      details: { retryAfterSeconds: 3 },
    });

    fixture.application.fail = new Error("password=hunter2 in SQL");
    const defect = await fixture.send("POST", "/sandbox/create");
    expect([defect.status, defect.body.error.code]).toEqual([500, "internal"]);
    expect(JSON.stringify(defect.body)).not.toContain("hunter2");
    expect(fixture.logged()).toContain(defect.body.error.requestId);
    expect(isErrorCode(defect.body.error.code)).toBe(true);
  });

  test("a client's request id is kept when it is harmless", async () => {
    const given = await fixture.send("GET", "/health", {
      headers: { "x-request-id": "trace-1.a" },
    });
    expect(given.headers.get("x-request-id")).toBe("trace-1.a");
    const odd = await fixture.send("GET", "/health", { headers: { "x-request-id": "a b{}" } });
    expect(odd.headers.get("x-request-id")).toMatch(/^[a-z0-9]{20}$/);
  });
});

describe("rates", () => {
  test("of requests per key, with Retry-After", async () => {
    await using narrow = await startHttpFixture({ limits: { requestsPerMinute: 3 } });
    for (let count = 0; count < 3; count += 1) {
      expect((await narrow.send("GET", "/api/v1/sandboxes")).status).toBe(200);
    }
    const refused = await narrow.send("GET", "/api/v1/sandboxes");
    expect([refused.status, refused.body.error.code]).toEqual([429, "rate_limited"]);
    expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
    expect((await narrow.send("GET", "/api/v1/sandboxes", { key: STRANGER_KEY })).status).toBe(200);
    expect((await narrow.send("GET", "/health")).status).toBe(200);
  });

  test("of wrong keys per address, on REST and WebSocket alike; keys known good still pass", async () => {
    await using narrow = await startHttpFixture({ limits: { failedSignInsPerMinute: 2 } });
    const id = await narrow.newSandbox();
    expect((await narrow.send("GET", "/api/v1/sandboxes", { key: "guess1" })).status).toBe(401);
    const socket = new WebSocket(`${narrow.webSocketUrl}/agent/${id}?api_key=guess2`);
    const [, response] = await once(socket, "unexpected-response");
    expect(response.statusCode).toBe(401);
    const third = await narrow.send("GET", "/api/v1/sandboxes", { key: "guess3" });
    expect([third.status, third.headers.get("retry-after")]).toEqual([429, "30"]);
    expect((await narrow.send("GET", "/api/v1/sandboxes")).status).toBe(200);
    expect((await narrow.send("GET", "/api/v1/sandboxes", { key: null })).status).toBe(401);
  });
});

describe("slow and broken clients", () => {
  test("headers that dribble are cut off with 408, a body that never ends is dropped", async () => {
    await using strict = await startHttpFixture({
      limits: { requestHeadersMs: 100, requestBodyMs: 100 },
    });
    const half = await raw("GET /health HTTP/1.1\r\nHost: x\r\nX-Slow: ", strict.url);
    expect(half).toMatch(/^HTTP\/1.1 408 /);
    const silent = await raw("", strict.url);
    expect(silent).toMatch(/^HTTP\/1.1 408 /);
    const body = [
      "POST /sandbox/create HTTP/1.1",
      "Host: x",
      `X-API-Key: ${OWNER_KEY}`,
      "Content-Type: application/json",
      "Content-Length: 100",
    ];
    await raw(`${body.join("\r\n")}\r\n\r\n{`, strict.url);
  });

  test("headers too large and bytes that are no HTTP get an answer in the error shape", async () => {
    const large = await raw(
      `GET /health HTTP/1.1\r\nHost: x\r\nX-Big: ${"a".repeat(20_000)}\r\n\r\n`,
    );
    expect(large).toMatch(/^HTTP\/1.1 431 /);
    const nonsense = await raw("this is not HTTP\r\n\r\n");
    expect(nonsense).toMatch(/^HTTP\/1.1 400 /);
    const body: unknown = JSON.parse(nonsense.split("\r\n\r\n")[1] ?? "");
    expect(errorAnswer.parse(body).error.code).toBe("invalid_request");
  });
});

test("no key and no secret reaches the log, however it was sent", async () => {
  const id = await fixture.newSandbox();
  await fixture.send("GET", `/api/v1/sandboxes?api_key=${OWNER_KEY}`, { key: "wr0ng-guess" });
  await fixture.send("GET", "/nowhere", { headers: { authorization: `Bearer ${OWNER_KEY}` } });
  await fixture.send("POST", "/sandbox/create", { body: { environment: { TOKEN: "env-s3cret" } } });
  const offers = [`insien.key.${OWNER_KEY}`];
  const socket = new WebSocket(`${fixture.webSocketUrl}/agent/${id}?api_key=${OWNER_KEY}`, offers);
  await once(socket, "open");
  socket.terminate();
  await waitFor(() => fixture.logged().includes('"upgrade"'), {
    describe: "the upgrade's log line",
  });
  expect(fixture.logged().split("\n").length).toBeGreaterThan(4);
  for (const secret of [OWNER_KEY, "wr0ng-guess", "env-s3cret"]) {
    expect(fixture.logged()).not.toContain(secret);
  }
});

describe("pages of other origins", () => {
  const preflight = (url: string, origin: string) =>
    fetch(`${url}/api/v1/sandboxes`, {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": "POST" },
    });

  test("may call with a key and never with credentials", async () => {
    const allowed = await preflight(fixture.url, "https://a.example");
    expect(allowed.status).toBe(204);
    expect(allowed.headers.get("access-control-allow-origin")).toBe("*");
    expect(allowed.headers.get("access-control-allow-headers")).toContain("x-api-key");
    expect(allowed.headers.get("access-control-allow-credentials")).toBeNull();
    const answer = await fixture.send("GET", "/api/v1/sandboxes", {
      headers: { origin: "https://a.example" },
    });
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
  });

  test("only the listed ones, where there is a list", async () => {
    await using listed = await startHttpFixture({ config: { corsOrigins: ["https://a.example"] } });
    const named = await preflight(listed.url, "https://a.example");
    expect(named.headers.get("access-control-allow-origin")).toBe("https://a.example");
    const other = await preflight(listed.url, "https://b.example");
    expect(other.headers.get("access-control-allow-origin")).toBeNull();
  });
});

test("close lets a running create finish, within its bound", async () => {
  await using closing = await startHttpFixture({ limits: { closeMs: 500 } });
  const gate = Promise.withResolvers<void>();
  closing.application.creating = gate.promise;
  const created = closing.send("POST", "/sandbox/create");
  await waitFor(() => closing.application.createSignals.length === 1);
  const closed = closing.server.close();
  gate.resolve();
  expect((await created).status).toBe(200);
  await closed;
  await expect(fetch(`${closing.url}/health`)).rejects.toThrow();
});

test("close ends what does not finish", async () => {
  await using closing = await startHttpFixture({ limits: { closeMs: 100 } });
  const gate = Promise.withResolvers<void>();
  closing.application.creating = gate.promise;
  const created = closing.send("POST", "/sandbox/create").catch((error: unknown) => error);
  await waitFor(() => closing.application.createSignals.length === 1);
  await closing.server.close();
  expect(await created).toBeInstanceOf(Error);
  gate.resolve();
});
