import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const REPOSITORY = resolve(import.meta.dirname, "../../..");
const MODULES = join(REPOSITORY, "node_modules");
/** The machine's own Node, often older than the one that runs the tests. */
const OTHER_NODE = "/usr/bin/node";
const run = promisify(execFile);

const PROGRAM = `
  import { Sandbox, SandboxConnectionError } from "@insien/sandbox";
  const sandbox = new Sandbox({ apiKey: "k", apiUrl: "http://127.0.0.1:1" });
  const error = await sandbox.runCommand("node", ["--version"]).catch((thrown) => thrown);
  console.log(error instanceof SandboxConnectionError, error.code);
`;
const TYPED = `
  import {
    Sandbox,
    SandboxClient,
    SandboxError,
    verifyWebhook,
    type CommandResult,
    type CreateSandboxRequest,
    type WebhookEvent,
  } from "@insien/sandbox";
  const sandbox: Sandbox = new Sandbox({ apiKey: process.env["KEY"] });
  export const result: CommandResult = await sandbox.runCommand("true");
  for await (const text of (await sandbox.commands.start("x")).stdout) text satisfies string;
  await using client = new SandboxClient("http://localhost:3000", { timeoutMs: 1000 });
  const request: CreateSandboxRequest = { image: "a", ports: [{ internal: 80 }] };
  const { id, main } = await client.createSandbox(request);
  main?.changedAt satisfies Date | undefined;
  for await (const line of client.streamCommand(id, "x")) line satisfies string;
  for await (const { line } of client.streamCommand(id, "x", { labelled: true })) {
    line satisfies string;
  }
  export const event: WebhookEvent = await verifyWebhook("{}", new Headers(), "whsec_AAAA");
  export const isOurs = (error: unknown): boolean => error instanceof SandboxError;
`;

describe("the package as it is published", () => {
  let directory: string;
  const consumer = (...path: string[]): string => join(directory, ...path);

  /** Packs a workspace and unpacks it where npm would install it. */
  async function install(folder: string): Promise<void> {
    const cwd = join(REPOSITORY, "packages", folder);
    const { stdout } = await run("npm", ["pack", "--json", "--pack-destination", directory], {
      cwd,
    });
    const parsed = JSON.parse(stdout) as Packed[] | Record<string, Packed>;
    const [packed] = Object.values(parsed);
    const target = consumer("node_modules", packed?.name ?? "");
    await mkdir(target, { recursive: true });
    const tarball = join(directory, packed?.filename ?? "");
    await run("tar", ["xzf", tarball, "-C", target, "--strip-components=1"]);
  }
  interface Packed {
    name: string;
    filename: string;
  }

  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "insien-package-"));
    await run("npm", ["run", "build"], { cwd: join(REPOSITORY, "packages/sdk") });
    await install("protocol");
    await install("sdk");
    for (const name of ["ws", "zod", "@types", "undici-types"]) {
      await symlink(join(MODULES, name), consumer("node_modules", name));
    }
    await writeFile(consumer("package.json"), '{ "type": "module" }');
    await writeFile(consumer("program.js"), PROGRAM);
    await writeFile(consumer("typed.ts"), TYPED);
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  test.each(["protocol", "sdk"])("publint and attw find nothing in %s", async (folder) => {
    const cwd = join(REPOSITORY, "packages", folder);
    const lint = await run(join(MODULES, ".bin/publint"), ["--strict"], { cwd });
    expect(lint.stdout).toContain("All good!");
    await run(join(MODULES, ".bin/attw"), ["--pack", "--profile", "esm-only"], { cwd });
  });

  const nodes = [process.execPath, OTHER_NODE].filter((path) => existsSync(path));
  test.each(nodes)("a plain JavaScript program runs on %s", async (node) => {
    const { stdout } = await run(node, [consumer("program.js")]);
    expect(stdout.trim()).toBe("true connection_lost");
  });

  test.each([
    ["Node", ["--module", "nodenext", "--lib", "es2023,esnext.disposable", "--types", "node"]],
    ["a bundler", ["--module", "esnext", "--moduleResolution", "bundler", "--types", "node"]],
  ])("its types hold in a strict project for %s", async (_name, settings) => {
    const flags = ["--noEmit", "--strict", "--exactOptionalPropertyTypes", "--target", "es2023"];
    const file = consumer("typed.ts");
    await run(join(MODULES, ".bin/tsc"), [...flags, ...settings, file], { cwd: directory });
  });

  test("its browser bundle holds nothing of Node and stays small", async () => {
    const outfile = consumer("bundle.js");
    const entryPoints = [consumer("program.js")];
    const options = { bundle: true, minify: true, format: "esm", platform: "browser" } as const;
    await build({ ...options, entryPoints, outfile, logLevel: "silent" });
    const bundle = await readFile(outfile, "utf8");
    expect(bundle).not.toMatch(/from"node:|require\(/);
    expect(bundle.length).toBeLessThan(64 * 1024);
  });
});
