import { execFile } from "node:child_process";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { SandboxClient } from "@insien/sandbox";
import { mustHave, startServer, type TestServer } from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const EXAMPLES = resolve(import.meta.dirname, "../../../examples/container-manager");
const run = promisify(execFile);
const dockerAnswers = await run("docker", ["version"]).then(
  () => true,
  () => false,
);

describe.skipIf(!mustHave(dockerAnswers, "a Docker daemon"))("examples/container-manager", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startServer({ runtime: "docker" });
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  async function output(program: string, args: string[] = []): Promise<string> {
    const { stdout } = await run(
      process.execPath,
      ["--conditions=source", `${EXAMPLES}/${program}`, server.url, ...args],
      { env: { ...process.env, INSIEN_API_KEY: server.apiKey }, timeout: 100_000 },
    );
    await using client = new SandboxClient(server.url, { apiKey: server.apiKey });
    expect(await client.listSandboxes("running")).toEqual([]);
    return stdout;
  }

  test("the quick start creates, runs, lists and deletes", async () => {
    const stdout = await output("quick-start.ts", ["debian:bookworm-slim", "sleep 600"]);
    expect(stdout).toMatch(
      /^Created sandbox: [a-z0-9]{20}, running\nHello from Linux \(exit code 0\)\nThe stage is test\nListed as running\nDeleted\n$/,
    );
  });

  test("error handling meets each class", async () => {
    const lines = (await output("error-handling.ts")).trimEnd().split("\n");
    expect(lines).toEqual([
      "Invalid request: resources.cpu must be a number from 0.1 to 8, not 64",
      expect.stringMatching(/^Not there: .*nosuchsandbox/),
      expect.stringMatching(/^Volume: .*nosuchvolume/),
      "Operation timed out",
      expect.stringMatching(/^Operation failed: .*stopped/),
    ]);
  });

  test("streaming gives lines as they come and ends what it left", async () => {
    const lines = (await output("streaming.ts")).trimEnd().split("\n");
    expect(lines.filter((line) => line.startsWith("log: "))).toHaveLength(5);
    expect(lines.slice(5)).toEqual(["stdout: out", "stderr: err", "exit code 3"]);
  });
});
