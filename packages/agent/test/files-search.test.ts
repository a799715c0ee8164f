import { execFileSync } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { LIMITS, type RpcRequests } from "@insien/protocol";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fileHandlers } from "../src/files/index.ts";
import { failure, makeHome, noConnection, type Home } from "./files.fixture.ts";

let home: Home;
beforeEach(async () => {
  home = await makeHome();
  await mkdir(home.at("src/deep"), { recursive: true });
  await writeFile(home.at("src/one.ts"), "first\nconst needle = 1;\r\nlast NEEDLE\n");
  await writeFile(home.at("src/deep/two.js"), "a needle, a needle");
});
afterEach(() => home[Symbol.asyncDispose]());

const search = async (fields: Partial<RpcRequests["search"]>, connection = noConnection) =>
  fileHandlers(home).search(
    { id: 1, type: "search", path: "src", pattern: "needle", ...fields },
    connection,
  );
const places = async (fields: Partial<RpcRequests["search"]>) =>
  (await search(fields)).matches.map(
    ({ path, line, column }) => `${path.slice(home.at("src/").length)}:${line}:${column}`,
  );

test("each matching line is told with its place and text", async () => {
  expect(await search({})).toEqual({
    matches: [
      { path: home.at("src/deep/two.js"), line: 1, column: 3, text: "a needle, a needle" },
      { path: home.at("src/one.ts"), line: 2, column: 7, text: "const needle = 1;" },
    ],
    truncated: false,
  });
});

test("case, expressions and file names narrow or widen it", async () => {
  expect(await places({ ignoreCase: true, glob: "*.ts" })).toEqual(["one.ts:2:7", "one.ts:3:6"]);
  expect(await places({ pattern: "^last|needle$", regex: true })).toEqual([
    "deep/two.js:1:13",
    "one.ts:3:1",
  ]);
  expect(await places({ pattern: "needle = 1;", regex: false })).toEqual(["one.ts:2:7"]);
  expect(await places({ pattern: "n.edle" })).toEqual([]);
  expect(await places({ path: "src/one.ts" })).toHaveLength(1);
});

test("the limit cuts and says so", async () => {
  expect(await search({ limit: 2 })).toMatchObject({ truncated: false });
  const cut = await search({ limit: 1 });
  expect(cut.matches).toHaveLength(1);
  expect(cut.truncated).toBe(true);
});

test("binary files, large files, pipes and what links lead to are left out", async () => {
  await writeFile(home.at("src/binary"), "\0needle");
  await writeFile(home.at("src/large"), Buffer.alloc(LIMITS.searchFileBytes.value + 1, "needle\n"));
  await writeFile(home.at("outside"), "needle");
  await symlink("../outside", home.at("src/link"));
  execFileSync("mkfifo", [home.at("src/pipe")]);
  expect(await places({})).toEqual(["deep/two.js:1:3", "one.ts:2:7"]);
});

test("what the kernel makes up is not searched", async () => {
  expect(await search({ path: "/proc/self", pattern: ".", regex: true })).toEqual({
    matches: [],
    truncated: false,
  });
  expect((await failure(() => search({ path: "/proc/self/environ" }))).code).toBe(
    "permission_denied",
  );
});

test("a bad pattern and a missing directory are named", async () => {
  expect((await failure(() => search({ pattern: "(", regex: true }))).code).toBe("invalid_request");
  expect((await failure(() => search({ path: "missing" }))).code).toBe("file_not_found");
});

test("a pattern that never ends holds up nobody and ends with its client", async () => {
  await writeFile(home.at("src/evil"), `${"a".repeat(60)}!`);
  const client = new AbortController();
  const endless = search(
    { pattern: "^(a+)+$", regex: true, path: "src/evil" },
    { ...noConnection, signal: client.signal },
  );
  const before = performance.now();
  expect(await places({})).toHaveLength(2);
  expect(performance.now() - before).toBeLessThan(LIMITS.searchMs.value / 2);
  client.abort();
  expect(await endless).toMatchObject({ matches: [] });
});
