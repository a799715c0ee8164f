/**
 * Goal: a request about the files below a directory reaches nothing outside of it, whatever links
 * lie in it, and everything inside.
 */
import { once } from "node:events";
import { mkdir, readFile, readdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { createServer, request, type IncomingMessage, type Server } from "node:http";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fileHandlers, handleFiles } from "../src/files/index.ts";
import { failure, makeHome, noConnection, type Home } from "./files.fixture.ts";

let home: Home;
let server: Server;
let root: string;
beforeEach(async () => {
  home = await makeHome();
  root = home.at("volume");
  await mkdir(`${root}/sub/deep`, { recursive: true });
  await mkdir(home.at("outside"));
  await writeFile(home.at("outside/secret"), "secret");
  await writeFile(`${root}/sub/file`, "inside");
  await symlink(home.at("outside"), `${root}/absolute`);
  await symlink("../outside", `${root}/relative`);
  await symlink("../../outside/secret", `${root}/sub/file-link`);
  await symlink("../../outside/new", `${root}/sub/dangling`);
  await symlink("../sub/./file", `${root}/sub/within`);
  await symlink(`${root}/sub`, `${root}/sub/deep/whole`);
  await symlink("loop", `${root}/loop`);
  server = createServer((incoming, response) => void handleFiles(incoming, response, home));
  await once(server.listen(home.at("socket")), "listening");
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await home[Symbol.asyncDispose]();
});

async function call(method: string, path: string, body?: string) {
  const query = new URLSearchParams({ path: `${root}/${path}`, root });
  const target = { socketPath: home.at("socket"), method, path: `/files?${query.toString()}` };
  const outgoing = request(target).end(body);
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  const answer = await text(response);
  const said = response.statusCode === 200 || method === "HEAD" ? answer : JSON.parse(answer);
  return { status: response.statusCode, text: answer, code: said.error?.code };
}
const handlers = () => fileHandlers(home);
const list = (path: string, depth = 1) =>
  handlers().listDirectory(
    { id: "1", type: "listDirectory", path: `${root}/${path}`, root, depth },
    noConnection,
  );
const make = (path: string, mode?: number) =>
  handlers().makeDirectory(
    { id: "1", type: "makeDirectory", path: `${root}/${path}`, root, mode },
    noConnection,
  );
const WAYS_OUT = [
  "absolute/secret",
  "relative/secret",
  "sub/file-link",
  "sub/../../outside/secret",
];

test.each(WAYS_OUT)("%s is neither read nor written", async (path) => {
  expect(await call("GET", path)).toMatchObject({ status: 400, code: "invalid_path" });
  expect((await call("HEAD", path)).status).toBe(400);
  expect(await call("PUT", path, "mine")).toMatchObject({ status: 400, code: "invalid_path" });
  expect(await readFile(home.at("outside/secret"), "utf8")).toBe("secret");
});

test("nothing is made outside, through links that lead to nothing either", async () => {
  for (const path of ["sub/dangling", "relative/new", "absolute/a/b"])
    expect(await call("PUT", path, "mine")).toMatchObject({ code: "invalid_path" });
  for (const path of ["sub/dangling", "relative/new", "absolute/a/b"])
    expect(await failure(() => make(path))).toMatchObject({ code: "invalid_path" });
  expect(await readdir(home.at("outside"))).toEqual(["secret"]);
});

test("directories outside are not listed, and in a listing links are told as links", async () => {
  for (const path of ["absolute", "relative", "../outside"])
    expect(await failure(() => list(path))).toMatchObject({ code: "invalid_path" });
  const { entries } = await list("", 3);
  const paths = entries.map((entry) => `${entry.path.slice(root.length)} ${entry.type}`);
  expect(paths).toEqual([
    "/absolute symlink",
    "/loop symlink",
    "/relative symlink",
    "/sub directory",
    "/sub/dangling symlink",
    "/sub/deep directory",
    "/sub/deep/whole symlink",
    "/sub/file file",
    "/sub/file-link symlink",
    "/sub/within symlink",
  ]);
});

test("links that stay inside are gone along", async () => {
  expect(await call("GET", "sub/within")).toMatchObject({ status: 200, text: "inside" });
  expect(await call("GET", "sub/deep/whole/file")).toMatchObject({ status: 200, text: "inside" });
  expect((await call("PUT", "sub/deep/whole/within", "changed")).status).toBe(200);
  expect(await readFile(`${root}/sub/file`, "utf8")).toBe("changed");
  expect((await list("sub/deep/whole")).entries.map(({ name }) => name)).toContain("file");
  expect(await call("GET", "loop")).toMatchObject({ code: "too_many_links" });
});

test("files and directories are made with what is missing above them", async () => {
  expect((await call("PUT", "a/b/c", "new")).status).toBe(200);
  expect(await call("GET", "a/b/c")).toMatchObject({ status: 200, text: "new" });
  expect(await make("x/y")).toEqual({ created: true, path: `${root}/x/y` });
  expect(await make("x/y")).toEqual({ created: false, path: `${root}/x/y` });
  expect(await failure(() => make("sub/file"))).toMatchObject({ code: "file_exists" });
  expect(await readdir(`${root}/a/b`)).toEqual(["c"]);
});

test("what is asked of the directory itself, of files and of nothing is told as ever", async () => {
  expect(await call("GET", "")).toMatchObject({ code: "is_a_directory" });
  expect(await call("PUT", "sub", "x")).toMatchObject({ code: "is_a_directory" });
  expect(await call("GET", "missing/file")).toMatchObject({ code: "file_not_found" });
  expect(await call("GET", "sub/file/x")).toMatchObject({ code: "not_a_directory" });
});

test("a directory that is exchanged for a link all the while leads nowhere else", async () => {
  await mkdir(`${root}/turn`);
  await writeFile(`${root}/turn/secret`, "inside");
  await symlink(home.at("outside"), `${root}/spare`);
  let isOver = false;
  const exchanging = (async () => {
    while (!isOver) {
      await rename(`${root}/turn`, `${root}/real`);
      await rename(`${root}/spare`, `${root}/turn`);
      await rename(`${root}/turn`, `${root}/spare`);
      await rename(`${root}/real`, `${root}/turn`);
    }
  })();
  const seen = new Set<string>();
  for (let time = 0; time < 300; time += 1) seen.add((await call("GET", "turn/secret")).text);
  isOver = true;
  await exchanging;
  expect([...seen].filter((answer) => answer === "secret")).toEqual([]);
  expect(seen).toContain("inside");
  await rm(`${root}/turn`, { recursive: true });
});
