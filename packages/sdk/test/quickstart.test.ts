import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { Sandbox } from "@insien/sandbox";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasBubblewrap, SdkServer } from "./server.fixture.ts";

const QUICKSTART = resolve(import.meta.dirname, "../../../examples/quickstart/index.js");

describe.skipIf(!hasBubblewrap)("examples/quickstart", () => {
  let server: SdkServer;
  beforeAll(async () => {
    server = await SdkServer.start();
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  test("shows every step and leaves nothing behind", async () => {
    const { apiKey, apiUrl } = server.options;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ["--conditions=source", QUICKSTART],
      { env: { ...process.env, INSIEN_API_KEY: apiKey, INSIEN_API_URL: apiUrl }, timeout: 60_000 },
    );
    const steps = stdout.split("\n").filter((line) => line.startsWith("✓"));
    expect(steps).toHaveLength(11);
    for (const shown of ["Hello!", "line 3", "comes out", "is 42", "from port 8000", "needle"]) {
      expect(stdout).toContain(shown);
    }
    const left = await Array.fromAsync(Sandbox.list({ ...server.options, state: "running" }));
    expect(left).toEqual([]);
  });
});
