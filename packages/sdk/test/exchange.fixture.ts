/** Answers as servers give them, and what a call comes to. */
import {
  cleanupAnswer,
  entrypointAnswer,
  environmentAnswer,
  deliveryView,
  execAnswer,
  keyView,
  mountAnswer,
  quotaView,
  sandboxView,
  volumeView,
  webhookView,
} from "@insien/protocol";
import type { SandboxClient } from "@insien/sandbox";
import { expect } from "vitest";
import type { RecordingServer } from "./recording-server.fixture.ts";

export const AT = "2026-01-02T03:04:05.678Z";
export const sandbox = sandboxView.parse({
  id: "box1",
  template: "base",
  image: "python:3.9",
  state: "running",
  runtime: "docker",
  resources: { cpu: 1, memory: "512m", pids: 256, max_retries: 3 },
  read_only: false,
  main: { state: "waiting", restarts: 1, max_retries: 3, exit_code: 1, changed_at: AT },
  network: "none",
  metadata: { some_key: "kept" },
  environment_keys: ["A"],
  created_at: AT,
  started_at: AT,
  idle_timeout_seconds: 60,
  last_activity_at: AT,
  agent_url: "ws://x/agent/box1",
});
export const volume = volumeView.parse({
  id: "vol1",
  name: "data",
  type: "network",
  driver: "local",
  size: "1g",
  mount_path: "/data",
  created_at: AT,
  mounts: [{ sandbox_id: "box1", mount_path: "/data", read_only: false }],
});
export const mounted = mountAnswer.parse({
  items: [
    { volume_id: "vol1", name: "data", type: "network", mount_path: "/data", read_only: true },
  ],
  restarted: true,
  note: "made anew",
});
export const environment = environmentAnswer.parse({
  environment: { some_name: "v" },
  restart_needed: true,
});
export const entrypoint = entrypointAnswer.parse({
  entrypoint: ["a"],
  command: "b",
  restart_needed: false,
});
export const executed = execAnswer.parse({
  stdout: "o",
  stderr: "e",
  exit_code: 3,
  duration_ms: 5,
});
export const file = {
  path: "/a",
  name: "a",
  type: "file",
  size: 1,
  mode: 0o644,
  uid: 0,
  gid: 0,
  modified_at: AT,
};
export const webhook = webhookView.parse({
  id: "hook1",
  url: "http://example.org/",
  events: ["*"],
  active: true,
  created_at: AT,
});
export const delivery = deliveryView.parse({
  id: "d1",
  event: { sequence: 1, sandbox_id: "box1", type: "sandbox.created", at: AT, data: { a_b: 1 } },
  state: "delivered",
  attempts: 1,
  response_status: 200,
  created_at: AT,
});
export const quota = quotaView.parse({
  owner_id: "own1",
  limits: { sandboxes: 5, cpu: null, memory_bytes: 1, disk_bytes: null, creates_per_minute: 3 },
  used: { sandboxes: 1, cpu: 1, memory_bytes: 1, disk_bytes: 1 },
});
export const key = keyView.parse({
  id: "key1",
  name: "n",
  owner_id: "own1",
  prefix: "insien_a",
  admin: false,
  created_at: AT,
});
export const cleanup = cleanupAnswer.parse({
  dry_run: true,
  items: [{ kind: "volume", id: "v", reason: "Nobody's." }],
});

/** A call, the request it must be, the schema of its body, the answer, and what comes of it. */
export interface Exchange {
  call: (client: SandboxClient) => Promise<unknown>;
  request: `${"GET" | "POST" | "PUT" | "PATCH" | "DELETE"} ${string}`;
  body?: { parse(value: unknown): unknown };
  /** What of the body matters. */
  sent?: object;
  answer: unknown;
  result: unknown;
}

/** Makes the call and holds request and result against what they must be. */
export async function checkExchange(
  server: RecordingServer,
  client: SandboxClient,
  exchange: Exchange,
): Promise<void> {
  const { call, request, body, sent, answer, result } = exchange;
  server.reply = () => ({ body: answer });
  const outcome = await call(client);
  if (typeof result === "object" && result !== null) expect(outcome).toMatchObject(result);
  else expect(outcome).toEqual(result);
  expect(`${server.last.method} ${server.last.path}`).toBe(request);
  expect(server.last.headers["x-api-key"]).toBe("the-key");
  if (sent !== undefined) expect(JSON.parse(server.last.body)).toMatchObject(sent);
  if (body !== undefined) expect(body.parse(JSON.parse(server.last.body))).toBeDefined();
}
