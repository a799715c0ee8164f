import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InsienError } from "@insien/protocol";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { describeConfig, loadConfig } from "./config.ts";
import { variableNames } from "./config/variables.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "insien-config-"));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const load = (environment: Record<string, string> = {}) => loadConfig({ environment, directory });

/** What the start prints when a variable is wrong. */
async function complaint(environment: Record<string, string>): Promise<string> {
  const error: unknown = await load(environment).catch((thrown: unknown) => thrown);
  if (!(error instanceof InsienError))
    throw new Error("the configuration was accepted", { cause: error });
  return error.message;
}

test("nothing needs to be set", async () => {
  const config = await load();
  expect(config).toMatchObject({
    port: 3000,
    webSocketPort: 3001,
    host: "127.0.0.1",
    runtime: "auto",
  });
  expect(config.dataDirectory).toBe(join(directory, ".insien"));
  expect(config.limits).toEqual({ cpu: 1, memoryBytes: 512 * 1024 ** 2, pids: 256 });
});

test("ports of sandboxes are under the public host's name, where it has one", async () => {
  expect((await load()).domain).toBe("localhost");
  const of = async (url: string) => (await load({ INSIEN_PUBLIC_URL: url })).domain;
  expect(await of("https://insien.example:8443")).toBe("insien.example");
  expect(await of("http://10.0.0.5:3000")).toBe("localhost");
  expect(await of("http://[::1]:3000")).toBe("localhost");
  expect((await load({ INSIEN_DOMAIN: "Box.Example" })).domain).toBe("box.example");
  expect(await complaint({ INSIEN_DOMAIN: "10.0.0.5" })).toContain("must be a domain such as");
  expect((await load()).externalPorts).toEqual({ first: 1024, last: 65_535 });
  expect((await load({ INSIEN_EXTERNAL_PORTS: "none" })).externalPorts).toBeUndefined();
  expect(await complaint({ INSIEN_EXTERNAL_PORTS: "9-3" })).toContain("must be a range such as");
});

test("it cannot be changed afterwards", async () => {
  const config = await load();
  expect(Object.isFrozen(config) && Object.isFrozen(config.limits)).toBe(true);
  expect(Object.isFrozen(config.sandboxDefaults)).toBe(true);
});

test(".env is read, the environment wins, and an empty variable counts as none", async () => {
  await writeFile(join(directory, ".env"), "PORT=4000\nWS_PORT=4001\nAPI_KEY=from-the-file\n");
  const config = await load({ PORT: "5000", WS_PORT: "", HOST: " " });
  expect(config).toMatchObject({
    port: 5000,
    webSocketPort: 4001,
    apiKey: "from-the-file",
    host: "127.0.0.1",
  });
});

describe("secrets", () => {
  test("are made once, for their owner's eyes", async () => {
    const first = await load();
    const second = await load();
    expect(first.jwtSecret.length).toBeGreaterThanOrEqual(43);
    expect(second).toEqual(first);
    expect((await stat(join(directory, ".insien", "jwt-secret"))).mode & 0o777).toBe(0o600);
  });

  test("are the same for two starts at once", async () => {
    const configs = await Promise.all(Array.from({ length: 8 }, () => load()));
    expect(new Set(configs.map((config) => config.jwtSecret)).size).toBe(1);
    expect(await readdir(join(directory, ".insien"))).toEqual(["jwt-secret"]);
  });

  test("that are given are kept nowhere", async () => {
    const config = await load({ API_KEY: "test-api-key", JWT_SECRET: "sixteen-or-more!" });
    expect(config).toMatchObject({ apiKey: "test-api-key", jwtSecret: "sixteen-or-more!" });
    expect(await readdir(config.dataDirectory)).toEqual([]);
  });

  test("appear in no log and no complaint", async () => {
    const secrets = {
      API_KEY: "key-that-stays-hidden",
      JWT_SECRET: "secret-that-stays-hidden",
      DATABASE_URL:
        "postgres://me:password-that-stays-hidden@db.example/insien?password=that-stays-hidden",
      INSIEN_OIDC_ISSUER: "https://login.example",
      INSIEN_OIDC_CLIENT_ID: "insien",
      INSIEN_OIDC_CLIENT_SECRET: "client-secret-that-stays-hidden",
    };
    const shown = JSON.stringify(describeConfig(await load(secrets)));
    expect(shown).not.toContain("stays-hidden");
    expect(shown).toContain("postgres://db.example/insien");
    const overSocket = "postgresql://me:that-stays-hidden@/insien?host=/run/postgresql";
    const other = describeConfig(await load({ DATABASE_URL: overSocket }));
    expect(other["databaseUrl"]).toBe("postgresql:///insien");
    const message = await complaint({
      API_KEY: "hidden!",
      JWT_SECRET: "hidden!",
      DATABASE_URL: "mysql://hidden!",
    });
    expect(message).not.toContain("hidden!");
    expect(message.split("\n")).toHaveLength(3);
  });
});

describe("the first account", () => {
  test.each([
    [{}, true],
    [{ HOST: "localhost" }, true],
    [{ HOST: "::1", INSIEN_PUBLIC_URL: "http://localhost:3000" }, true],
    [{ HOST: "0.0.0.0" }, false],
    [{ HOST: "10.0.0.5" }, false],
    [{ HOST: "127.0.0.1.example.com" }, false],
    [{ INSIEN_PUBLIC_URL: "https://sandboxes.example.com" }, false],
    [{ INSIEN_TRUST_PROXY: "1" }, false],
  ])("with %j is free for whoever comes first: %s", async (environment, firstIsFree) => {
    const { people } = await load(environment);
    expect(people).toEqual({ signUp: "first", firstIsFree });
  });
});

describe("a wrong value stops the start with a sentence", () => {
  test.each([
    [
      "INSIEN_OIDC_ISSUER",
      "http://login.example",
      'INSIEN_OIDC_ISSUER is "http://login.example" and must be like https://login.example.com.',
    ],
    [
      "INSIEN_OIDC_CLIENT_ID",
      "insien",
      'INSIEN_OIDC_CLIENT_ID is "insien" and goes with INSIEN_OIDC_ISSUER.',
    ],
    ["PORT", "http", 'PORT is "http" and must be a whole number from 0 to 65535.'],
    ["PORT", "65536", 'PORT is "65536" and must be a whole number from 0 to 65535.'],
    [
      "WS_PORT",
      "3000",
      'WS_PORT is "3000" and must differ from PORT, which serves WebSockets as well.',
    ],
    ["JWT_SECRET", "short", "JWT_SECRET must have at least 16 characters."],
    ["API_KEY", "short", "API_KEY must have at least 8 characters, without blanks."],
    [
      "JWT_SECRET",
      "your-secret-key-change-in-production",
      "JWT_SECRET is the example that everybody knows: leave it out, and one is made.",
    ],
    [
      "DATABASE_URL",
      "mysql://x",
      "DATABASE_URL must be like postgresql://user:password@host:5432/name.",
    ],
    [
      "INSIEN_RUNTIME",
      "podman",
      'INSIEN_RUNTIME is "podman" and must be auto, docker or bubblewrap.',
    ],
    [
      "INSIEN_RUNTIME",
      "vm",
      'INSIEN_RUNTIME is "vm" and names a runtime that is not there yet: take docker or bubblewrap.',
    ],
    [
      "INSIEN_POOL_SIZE",
      "-1",
      'INSIEN_POOL_SIZE is "-1" and must be a whole number from 0 to 1000.',
    ],
    [
      "INSIEN_DEFAULT_MEMORY",
      "1",
      'INSIEN_DEFAULT_MEMORY is "1" and must be a size from 32m to 64g, such as 512m or 2g.',
    ],
    [
      "INSIEN_PUBLIC_URL",
      "here",
      'INSIEN_PUBLIC_URL is "here" and must be like https://sandboxes.example.com.',
    ],
    [
      "INSIEN_QUOTA_CPU",
      "many",
      'INSIEN_QUOTA_CPU is "many" and must be a number of cores such as 16 or 2.5.',
    ],
    ["INSIEN_QUOTA_DISK", "1x", 'INSIEN_QUOTA_DISK is "1x" and must be a size such as 16g.'],
    [
      "INSIEN_NFS_SERVERS",
      "nas,/etc",
      'INSIEN_NFS_SERVERS is "nas,/etc" and must be host names or addresses, with commas between.',
    ],
    ["INSIEN_TRUST_PROXY", "yes", 'INSIEN_TRUST_PROXY is "yes" and must be 1 or 0.'],
  ])("%s=%s", async (name, value, sentence) => {
    expect(await complaint({ [name]: value })).toBe(sentence);
  });

  test("one for each that is wrong", async () => {
    const message = await complaint({ PORT: "x", HOST: "a b", INSIEN_LOG_LEVEL: "loud" });
    expect(message.split("\n").map((line) => line.split(" ")[0])).toEqual([
      "PORT",
      "HOST",
      "INSIEN_LOG_LEVEL",
    ]);
  });
});

test("quotas bound what they name, and nothing else", async () => {
  expect((await load()).quotas).toEqual({});
  const environment = { INSIEN_QUOTA_SANDBOXES: "0", INSIEN_QUOTA_CPU: "2.5" };
  const { quotas } = await load({ ...environment, INSIEN_QUOTA_MEMORY: "16g" });
  expect(quotas).toEqual({ sandboxes: 0, cpu: 2.5, memory: 16 * 1024 ** 3 });
});

test(".env.example names every variable there is", async () => {
  const example = await readFile(new URL("../../../.env.example", import.meta.url), "utf8");
  const named = [...example.matchAll(/^#? ?([A-Z_]+)=/gm)].map((match) => match[1]);
  expect(new Set(named)).toEqual(new Set(variableNames));
});

test("compose passes on every variable of Insien's own", async () => {
  const compose = await readFile(
    new URL("../../../deploy/compose/compose.yaml", import.meta.url),
    "utf8",
  );
  const passed = new Set([...compose.matchAll(/^ +(INSIEN_[A-Z_]+): /gm)].map((match) => match[1]));
  const own = variableNames.filter((name) => name.startsWith("INSIEN_"));
  expect(own.filter((name) => !passed.has(name))).toEqual([]);
});
