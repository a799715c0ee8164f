import { newId, newMachineId } from "@insien/protocol";
import { describe, expect, test } from "vitest";
import { sandboxFamilies } from "../src/metrics/sandbox-series.ts";
import { Counter, Histogram, exposition, gauge } from "../src/metrics/families.ts";
import { STRANGER_KEY, OWNER_KEY } from "./application-double.ts";
import { DATABASES, openForTests } from "./database.fixture.ts";
import { startHttpFixture } from "./http-fixture.ts";
import { type ParsedFamily, parseExposition } from "./exposition-parser.ts";
import { newSandboxRow } from "./sandbox-row.fixture.ts";

const familyOf = (families: readonly ParsedFamily[], name: string): ParsedFamily => {
  const found = families.find((each) => each.name === name);
  if (found === undefined) throw new Error(`there is no ${name}`);
  return found;
};

describe("the text format", () => {
  test("says of each family what it is before its series", () => {
    const counter = new Counter("made_total", "How many.");
    counter.add({ kind: "warm" });
    counter.add({ kind: "warm" }, 2);
    counter.add({ kind: "cold" });
    const [family] = parseExposition(exposition([counter.family]));
    expect(family).toEqual({
      name: "made_total",
      type: "counter",
      help: "How many.",
      samples: [
        { name: "made_total", labels: { kind: "warm" }, value: 3 },
        { name: "made_total", labels: { kind: "cold" }, value: 1 },
      ],
    });
  });

  test("counts each value of a histogram in all buckets that it is not above", () => {
    const histogram = new Histogram("wait_seconds", "Waiting.", [0.1, 1]);
    for (const value of [0.05, 0.1, 0.5, 7]) histogram.observe({}, value);
    const [family] = parseExposition(exposition([histogram.family]));
    expect(family?.samples.map(({ name, labels, value }) => [name, labels["le"], value])).toEqual([
      ["wait_seconds_bucket", "0.1", 2],
      ["wait_seconds_bucket", "1", 3],
      ["wait_seconds_bucket", "+Inf", 4],
      ["wait_seconds_sum", undefined, 7.65],
      ["wait_seconds_count", undefined, 4],
    ]);
  });

  test("lets no label break out of its quotes", () => {
    const counter = new Counter("odd_total", "With a \\ and\na line.");
    const odd = 'a"b\\c\nd} 1';
    counter.add({ odd });
    const [family] = parseExposition(exposition([counter.family, gauge("fine", "Fine.", 1)]));
    expect(family?.samples[0]?.labels).toEqual({ odd });
  });
});

describe("GET /metrics", () => {
  test("counts requests by the route that they matched, and not by their paths", async () => {
    await using http = await startHttpFixture();
    const id = await http.newSandbox();
    await http.send("GET", `/api/v1/sandboxes/${id}`);
    await http.send("GET", "/nowhere/at-all");
    const answer = await http.send("GET", "/metrics");
    expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
    const text = String(answer.body["text"]);
    expect(text).not.toContain(id);
    expect(text).not.toContain("nowhere");
    const families = parseExposition(text);
    const counted = familyOf(families, "insien_http_requests_total").samples;
    expect(counted).toContainEqual({
      name: "insien_http_requests_total",
      labels: { method: "GET", route: "/api/v1/sandboxes/:id", status: "200" },
      value: 1,
    });
    expect(counted.map(({ labels }) => labels["status"])).toContain("404");
    expect(familyOf(families, "insien_http_request_duration_seconds").type).toBe("histogram");
  });

  test("counts creates and webhooks by what became of them", async () => {
    await using http = await startHttpFixture();
    const { metrics } = http.application;
    metrics.created({ isWarm: true, isMade: true, seconds: 0.02 });
    metrics.created({ isWarm: false, isMade: false, seconds: 9 });
    metrics.attempted({ isAccepted: false, seconds: 0.3 });
    const families = parseExposition(String((await http.send("GET", "/metrics")).body["text"]));
    const valuesOf = (name: string) =>
      familyOf(families, name).samples.map(({ labels, value }) => ({ ...labels, value }));
    expect(valuesOf("insien_sandbox_creates_total")).toEqual([
      { kind: "warm", outcome: "made", value: 1 },
      { kind: "cold", outcome: "failed", value: 1 },
    ]);
    expect(valuesOf("insien_webhook_attempts_total")).toEqual([{ outcome: "refused", value: 1 }]);
    // A failure's duration says nothing of how long a create takes.
    const durations = familyOf(families, "insien_sandbox_create_duration_seconds").samples;
    expect(durations.filter(({ labels }) => labels["kind"] === "cold")).toEqual([]);
  });

  test("is for administrators, by either header", async () => {
    await using http = await startHttpFixture();
    const bearer = { authorization: `Bearer ${OWNER_KEY}` };
    expect((await http.send("GET", "/metrics", { key: null, headers: bearer })).status).toBe(200);
    expect((await http.send("GET", "/metrics", { key: STRANGER_KEY })).status).toBe(403);
    expect((await http.send("GET", "/metrics", { key: null })).status).toBe(401);
  });

  test("goes on without what cannot be asked", async () => {
    await using http = await startHttpFixture();
    http.application.metrics.add(() => Promise.reject(new Error("this source fails")));
    http.application.metrics.add(() => [gauge("insien_still_there", "It is.", 1)]);
    await http.send("GET", "/health");
    const families = parseExposition(String((await http.send("GET", "/metrics")).body["text"]));
    expect(familyOf(families, "insien_still_there").samples[0]?.value).toBe(1);
    expect(familyOf(families, "insien_http_requests_total").samples.length).toBeGreaterThan(0);
  });
});

describe.for(DATABASES.filter(({ present }) => present))("sandboxes' series on $kind", (kind) => {
  test("are of this node, the newest of each, and no more than there may be", async () => {
    const database = await openForTests(await kind.prepare());
    const nodeId = newId();
    const rows = await Promise.all(
      [nodeId, nodeId, nodeId, newId()].map((node) =>
        database.sandboxes.insert(
          newSandboxRow({ state: "running", nodeId: node, machineId: newMachineId() }),
          { type: "sandbox.created" },
        ),
      ),
    );
    const measured = (ageMs: number, memoryBytes: number) =>
      rows.map(({ id }) => ({
        sandboxId: id,
        at: new Date(Date.now() - ageMs),
        cpuCores: 0.5,
        memoryBytes,
        memoryLimitBytes: 100,
        pids: 2,
        networkReceivedBytes: 1,
        networkSentBytes: 1,
        diskReadBytes: 1,
        diskWrittenBytes: 1,
        diskBytes: undefined,
      }));
    await database.usage.add([...measured(5000, 10), ...measured(1000, 20)]);
    const { usage } = database;
    const read = async (maximum?: number) =>
      parseExposition(
        exposition(
          await sandboxFamilies({ usage, nodeId, ...(maximum === undefined ? {} : { maximum }) }),
        ),
      );
    const all = await read();
    const memory = familyOf(all, "insien_sandbox_memory_bytes").samples;
    const ours = rows.slice(0, 3).map(({ id }) => id as string);
    expect(new Set(memory.map(({ labels }) => labels["sandbox"]))).toEqual(new Set(ours));
    expect(memory.map(({ value }) => value)).toEqual([20, 20, 20]);
    expect(familyOf(all, "insien_sandboxes_without_series").samples[0]?.value).toBe(0);
    const running = familyOf(all, "insien_sandboxes").samples.find(
      ({ labels }) => labels["state"] === "running",
    );
    expect(running?.value).toBe(3);
    const few = await read(2);
    expect(familyOf(few, "insien_sandbox_memory_bytes").samples).toHaveLength(2);
    expect(familyOf(few, "insien_sandboxes_without_series").samples[0]?.value).toBe(1);
  });
});
