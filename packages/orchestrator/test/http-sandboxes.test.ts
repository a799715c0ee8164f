import {
  InsienError,
  createdKey,
  eventList,
  execAnswer,
  healthAnswer,
  sandboxList,
  sandboxView,
  seedCreateAnswer,
  seedDestroyAnswer,
  seedStatusAnswer,
} from "@insien/protocol";
import { waitFor } from "@insien/test-kit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { OWNER_KEY, STRANGER_KEY } from "./application-double.ts";
import { type HttpFixture, startHttpFixture } from "./http-fixture.ts";

let fixture: HttpFixture;
beforeEach(async () => {
  fixture = await startHttpFixture();
});
afterEach(async () => {
  await fixture[Symbol.asyncDispose]();
});

describe("the first API", () => {
  test("creates, reports and destroys with its camelCase answers and no body", async () => {
    const created = await fixture.send("POST", "/sandbox/create");
    expect(created.status).toBe(200);
    const { sandboxId, agentUrl } = seedCreateAnswer.strict().parse(created.body);
    expect(agentUrl).toBe(`${fixture.webSocketUrl}/agent/${sandboxId}`);

    const status = await fixture.send("GET", `/sandbox/${sandboxId}/status`);
    expect(seedStatusAnswer.strict().parse(status.body)).toMatchObject({
      sandboxId,
      connected: true,
    });

    const destroyed = await fixture.send("POST", `/sandbox/${sandboxId}/destroy`);
    expect(seedDestroyAnswer.strict().parse(destroyed.body)).toEqual({ success: true, sandboxId });
    const again = await fixture.send("POST", `/sandbox/${sandboxId}/destroy`);
    expect(again.body).toEqual({ success: true, sandboxId });
  });

  test("takes an empty body that calls itself JSON, and the fields of the newer API", async () => {
    const empty = await fixture.send("POST", "/sandbox/create", {
      headers: { "content-type": "application/json" },
    });
    expect(empty.status).toBe(200);
    const named = await fixture.send("POST", "/sandbox/create", { body: { name: "mine" } });
    expect(fixture.application.stored.get(named.body["sandboxId"] ?? "")?.name).toBe("mine");
  });
});

describe("REST v1", () => {
  test("creates a sandbox and answers exactly the schema's fields", async () => {
    const body = {
      name: "build",
      environment: { TOKEN: "s3cret" },
      metadata: { team: "a" },
      resources: { memory: "1g", cpu: 2 },
      idle_timeout_seconds: 60,
    };
    const {
      status,
      headers,
      body: view,
    } = await fixture.send("POST", "/api/v1/sandboxes", { body });
    expect(status).toBe(201);
    expect(headers.get("location")).toBe(`/api/v1/sandboxes/${view["id"]}`);
    expect(sandboxView.strict().parse(view)).toMatchObject({
      name: "build",
      resources: { cpu: 2, memory: "1024m", pids: 512 },
      environment_keys: ["TOKEN"],
      metadata: { team: "a" },
      agent_url: `${fixture.webSocketUrl}/agent/${view["id"]}`,
    });
    expect(JSON.stringify(view)).not.toContain("s3cret");
  });

  test.each(["sha256:0", "SHA256:00aa", "0123456789abcdef".repeat(4)])(
    "the image %s is an id, which may be what another owner built, and is refused",
    async (image) => {
      const { status, body } = await fixture.send("POST", "/api/v1/sandboxes", { body: { image } });
      expect([status, body]).toMatchObject([400, { error: { code: "invalid_request" } }]);
      expect(JSON.stringify(body)).toContain("must be a name, not an id");
    },
  );

  test("lists by pages, gets, extends, stops, starts and destroys; slashes at the end are fine", async () => {
    const ids = [
      await fixture.newSandbox(),
      await fixture.newSandbox(),
      await fixture.newSandbox(),
    ];
    const first = sandboxList.parse((await fixture.send("GET", "/api/v1/sandboxes/?limit=2")).body);
    expect(first.items.map(({ id }) => id)).toEqual([ids[2], ids[1]]);
    const path = `/api/v1/sandboxes?limit=2&cursor=${first.next_cursor}`;
    const second = sandboxList.parse((await fixture.send("GET", path)).body);
    expect(second.items.map(({ id }) => id)).toEqual([ids[0]]);
    expect(second.next_cursor).toBeUndefined();

    const one = `/api/v1/sandboxes/${ids[0]}`;
    expect((await fixture.send("GET", `${one}/`)).body).toMatchObject({ id: ids[0] });
    const extended = await fixture.send("POST", `${one}/timeout`, {
      body: { idle_timeout_seconds: 9 },
    });
    expect(extended.body).toMatchObject({ idle_timeout_seconds: 9 });
    expect((await fixture.send("POST", `${one}/stop`)).body).toMatchObject({ state: "stopped" });
    expect((await fixture.send("POST", `${one}/start`)).body).toMatchObject({ state: "running" });
    expect((await fixture.send("DELETE", one)).body).toEqual({ destroyed: true });
    expect((await fixture.send("DELETE", one)).body).toEqual({ destroyed: false });
  });

  test("runs a command and lists events", async () => {
    const one = `/api/v1/sandboxes/${await fixture.newSandbox()}`;
    const ran = await fixture.send("POST", `${one}/exec`, { body: { cmd: "echo", args: ["hi"] } });
    expect(execAnswer.parse(ran.body)).toMatchObject({ stdout: "echo hi\n", exit_code: 0 });
    const events = await fixture.send("GET", `${one}/events?after=4`);
    expect(eventList.parse(events.body).items).toMatchObject([{ sequence: 5, type: "created" }]);
  });

  test("makes, lists and revokes keys", async () => {
    const made = await fixture.send("POST", "/api/v1/keys", { body: { name: "ci" } });
    expect(made.status).toBe(201);
    const { key, id } = createdKey.strict().parse(made.body);
    expect((await fixture.send("GET", "/api/v1/sandboxes", { key })).status).toBe(200);
    const listed = await fixture.send("GET", "/api/v1/keys");
    expect(JSON.stringify(listed.body)).toContain(id);
    expect(JSON.stringify(listed.body)).not.toContain(key);
    expect((await fixture.send("DELETE", `/api/v1/keys/${id}`)).body).toEqual({ revoked: true });
    expect((await fixture.send("GET", "/api/v1/sandboxes", { key })).status).toBe(401);
    const refused = await fixture.send("POST", "/api/v1/keys", {
      key: STRANGER_KEY,
      body: { name: "x" },
    });
    expect(refused.status).toBe(403);
  });

  test("a create whose client goes away is aborted", async () => {
    const gate = Promise.withResolvers<void>();
    fixture.application.creating = gate.promise;
    const leaving = new AbortController();
    const created = fetch(`${fixture.url}/api/v1/sandboxes`, {
      method: "POST",
      headers: { "x-api-key": OWNER_KEY },
      signal: leaving.signal,
    });
    const signals = fixture.application.createSignals;
    await waitFor(() => signals.length === 1, { describe: "the create to begin" });
    expect(signals[0]?.aborted).toBe(false);
    leaving.abort();
    await expect(created).rejects.toThrow();
    await waitFor(() => signals[0]?.aborted, { describe: "the create to be aborted" });
    expect(signals[0]?.reason).toMatchObject({ code: "connection_lost" });
    gate.resolve();
  });

  test("a create that ends well is not aborted afterwards", async () => {
    await fixture.newSandbox();
    expect(fixture.application.createSignals[0]?.aborted).toBe(false);
  });

  test("tells the progress of a create line by line when asked", async () => {
    const headers = { accept: "application/x-ndjson" };
    const { status, body } = await fixture.send("POST", "/api/v1/sandboxes", { headers });
    expect(status).toBe(200);
    const lines = String(body["text"])
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines).toMatchObject([
      { type: "progress", step: "boot" },
      { type: "sandbox", sandbox: { state: "running" } },
    ]);
    fixture.application.fail = new InsienError("image_unavailable", "nowhere:1 cannot be pulled");
    const failed = await fixture.send("POST", "/api/v1/sandboxes", { headers });
    expect(JSON.parse(String(failed.body["text"]))).toMatchObject({
      type: "error",
      error: { code: "image_unavailable", requestId: expect.any(String) },
    });
  });
});

test("health is open and says when the database is down", async () => {
  const well = await fixture.send("GET", "/health", { key: null });
  expect(well.status).toBe(200);
  expect(healthAnswer.strict().parse(well.body)).toMatchObject({ status: "ok", runtime: "fake" });
  fixture.application.database = "down";
  const ill = await fixture.send("GET", "/health", { key: null });
  expect([ill.status, ill.body["status"]]).toEqual([503, "degraded"]);
});

test("a public URL is where agent URLs point", async () => {
  await using behindProxy = await startHttpFixture({
    config: { publicUrl: "https://insien.example/base/" },
  });
  const { body } = await behindProxy.send("POST", "/sandbox/create");
  expect(body["agentUrl"]).toBe(`wss://insien.example/base/agent/${body["sandboxId"]}`);
});

test("null is the same as leaving a field out, where models have optional fields", async () => {
  const made = await fixture.send("POST", "/api/v1/sandboxes", {
    body: { name: null, resources: { memory: "256m", gpu: null }, ports: null, command: null },
  });
  expect([made.status, made.body["resources"]]).toEqual([
    201,
    expect.objectContaining({ memory: "256m" }),
  ]);
  const refused = await fixture.send("POST", "/api/v1/sandboxes", {
    body: { environment: { A: null } },
  });
  expect(refused.status).toBe(400);
});
