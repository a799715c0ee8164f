/** Folders out as zip and tar, tars in, with the tools of the system at the other end. */
import { execFileSync, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createReadStream, createWriteStream, mkdirSync } from "node:fs";
import {
  chmod,
  link,
  lstat,
  mkdir,
  readFile,
  readdir,
  readlink,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { createServer, request, type IncomingMessage, type Server } from "node:http";
import { buffer } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import type { InsienError } from "@insien/protocol";
import { mustHave } from "@insien/test-kit";
import fc from "fast-check";
import { afterEach, beforeEach, expect, test } from "vitest";
import { handleArchive } from "../src/archive/index.ts";
import { answerError } from "../src/error-answer.ts";
import { tarHeader, tarOf, type MadeEntry } from "./archive.fixture.ts";
import { makeHome, type Home } from "./files.fixture.ts";

const isRoot = mustHave(process.getuid?.() === 0, "root rights");
const hasUnzip = mustHave(spawnSync("unzip", ["-v"]).status === 0, "unzip");

let home: Home;
let server: Server;
beforeEach(async () => {
  home = await makeHome();
  await mkdir(home.at("in"));
  await mkdir(home.at("out"));
  server = createServer((incoming, response) => {
    handleArchive(incoming, response, home).catch((error: unknown) => {
      incoming.resume();
      answerError(response, error);
    });
  });
  await once(server.listen(home.at("socket")), "listening");
});
afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await home[Symbol.asyncDispose]();
});

async function get(query: string): Promise<IncomingMessage> {
  const path = `/archive?${query}`;
  const outgoing = request({ socketPath: home.at("socket"), path }).end();
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  return response;
}

async function exported(query: string, file: string): Promise<string> {
  await pipeline(await get(query), createWriteStream(home.at(file)));
  return home.at(file);
}

async function put(body: Buffer | string, query: string = "path=out&format=tar") {
  const outgoing = request({
    socketPath: home.at("socket"),
    method: "PUT",
    path: `/archive?${query}`,
  });
  const answer = once(outgoing, "response") as Promise<[IncomingMessage]>;
  outgoing.on("error", () => undefined);
  if (typeof body === "string") createReadStream(body).pipe(outgoing);
  else outgoing.end(body);
  const [response] = await answer;
  const text = (await buffer(response)).toString();
  return { status: response.statusCode, body: JSON.parse(text) as Record<string, unknown> };
}

const errorOf = ({ body }: { body: Record<string, unknown> }) => body["error"] as InsienError;

async function fillFolder(): Promise<void> {
  await mkdir(home.at("in/empty"), { recursive: true });
  await mkdir(home.at("in/deep/er"), { recursive: true });
  await writeFile(home.at("in/small"), "small\n");
  await writeFile(home.at("in/nothing"), "");
  await writeFile(home.at("in/deep/er/grüße €.txt"), "text");
  await writeFile(home.at(`in/deep/${"long".repeat(50)}`), "long name");
  await writeFile(home.at("in/large"), Buffer.alloc(3_000_001, "large and larger "));
  await writeFile(home.at("in/program"), "#!/bin/sh\n", { mode: 0o755 });
  await chmod(home.at("in/program"), 0o751);
  await symlink("../nowhere/at all", home.at("in/deep/dangling"));
  await symlink("/etc/passwd", home.at("in/absolute"));
  await utimes(home.at("in/small"), 1_000_000_000, 1_000_000_000);
}

/** Everything below a folder, as far as an archive keeps it. */
async function census(folder: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const name of await readdir(folder, { recursive: true })) {
    const path = `${folder}/${name}`;
    const stats = await lstat(path);
    if (stats.isSymbolicLink()) found[name] = `link to ${await readlink(path)}`;
    else if (stats.isDirectory()) found[name] = `directory ${(stats.mode & 0o777).toString(8)}`;
    else if (stats.isFile()) {
      const content = (await readFile(path)).toString("base64").slice(0, 4_000_000);
      const mode = (stats.mode & 0o777).toString(8);
      found[name] = `file ${mode} ${Math.floor(stats.mtimeMs / 1000)} ${content}`;
    }
  }
  return found;
}

test.skipIf(!hasUnzip)("a zip gives back names, contents, modes, times and links", async () => {
  await fillFolder();
  execFileSync("mkfifo", [home.at("in/pipe")]);
  const zip = await exported("path=in&format=zip", "a.zip");
  execFileSync("unzip", ["-q", "-t", zip]);
  execFileSync("unzip", ["-q", zip, "-d", home.at("out")], { env: { LC_ALL: "C.UTF-8" } });
  const { pipe: _left, ...expected } = await census(home.at("in"));
  expect(await census(home.at("out"))).toEqual(expected);
  expect(Object.keys(expected)).toHaveLength(11);
});

test("a tar gives back names, contents, modes, times and links", async () => {
  await fillFolder();
  const tar = await exported("path=in&format=tar", "a.tar");
  execFileSync("tar", ["-x", "-p", "-f", tar, "-C", home.at("out")]);
  expect(await census(home.at("out"))).toEqual(await census(home.at("in")));
});

test("what was got as a tar is put back the same", async () => {
  await fillFolder();
  const tar = await exported("path=in&format=tar", "a.tar");
  const { status, body } = await put(tar);
  expect([status, body]).toEqual([
    200,
    { path: home.at("out"), entries: 11, size: 3_000_001 + 6 + 4 + 9 + 10 },
  ]);
  expect(await census(home.at("out"))).toEqual(await census(home.at("in")));
  if (isRoot) expect(await stat(home.at("out/deep/er"))).toMatchObject({ uid: 1000, gid: 1000 });
});

test.each(["gnu", "pax", "ustar", "v7"])("a tar of the system's in %s is taken", async (format) => {
  await mkdir(home.at("in/a/b"), { recursive: true });
  await writeFile(home.at("in/a/b/file"), "content", { mode: 0o640 });
  await symlink("b/file", home.at("in/a/link"));
  await link(home.at("in/a/b/file"), home.at("in/a/hard"));
  if (format === "gnu" || format === "pax") {
    await writeFile(home.at(`in/a/${"n".repeat(200)}`), "long");
  }
  const tar = execFileSync("tar", ["-c", "--format", format, "-C", home.at("in"), "."]);
  expect((await put(tar)).status).toBe(200);
  expect(await census(home.at("out"))).toEqual(await census(home.at("in")));
  expect((await stat(home.at("out/a/hard"))).nlink).toBe(2);
});

test.skipIf(!hasUnzip)("any contents come through", async () => {
  const sizes = fc.oneof(
    fc.nat(300),
    fc.constantFrom(65_534, 65_535, 65_536, 131_071, 131_072, 131_073),
    fc.integer({ min: 131_072, max: 2_500_000 }),
  );
  let round = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(sizes, { maxLength: 5 }), fc.nat(255), async (each, byte) => {
      round += 1;
      const [from, to] = [home.at(`in/${round}`), home.at(`out/${round}`)];
      mkdirSync(from);
      mkdirSync(to);
      await writeFile(`${from}/first`, "so that it is not empty");
      for (const [index, size] of each.entries()) {
        await writeFile(`${from}/${index}`, Buffer.alloc(size, byte));
      }
      const zip = await exported(`path=in/${round}`, "round.zip");
      execFileSync("unzip", ["-q", zip, "-d", to]);
      expect(await census(to)).toEqual(await census(from));
      const tar = await exported(`path=in/${round}&format=tar`, "round.tar");
      expect((await put(tar, `path=again/${round}&format=tar`)).status).toBe(200);
      expect(await census(home.at(`again/${round}`))).toEqual(await census(from));
    }),
    { numRuns: 15 },
  );
});

test("a single file is an archive of one entry", async () => {
  await writeFile(home.at("in/only"), "one");
  const tar = await exported("path=in/only&format=tar", "a.tar");
  expect(execFileSync("tar", ["-tf", tar]).toString()).toBe("only\n");
});

test("what is not there is told before anything else", async () => {
  const response = await get("path=missing");
  expect(response.statusCode).toBe(404);
  expect(JSON.parse((await buffer(response)).toString()).error.code).toBe("file_not_found");
});

test.skipIf(!hasUnzip)("a file cut while it is read leaves a valid zip, and no tar", async () => {
  const bytes = 64_000_000;
  for (const format of ["zip", "tar"]) {
    await writeFile(home.at("in/large"), Buffer.alloc(bytes, "x"));
    const response = await get(`path=in&format=${format}`);
    await truncate(home.at("in/large"), 10);
    const saved = pipeline(response, createWriteStream(home.at("cut")));
    if (format === "tar") {
      await expect(saved).rejects.toThrow("aborted");
    } else {
      await saved;
      const content = execFileSync("unzip", ["-p", home.at("cut"), "large"], { maxBuffer: bytes });
      expect(content.length).toBeLessThan(bytes);
      expect(content.every((byte) => byte === 0x78)).toBe(true);
    }
  }
});

test.skipIf(!isRoot)("file systems of the kernel's are no files", async () => {
  const refused = await get("path=/proc");
  expect(refused.statusCode).toBe(400);
  expect((await buffer(refused)).toString()).toContain("the kernel's state");
  await mkdir(home.at("in/proc"));
  await writeFile(home.at("in/file"), "x");
  execFileSync("mount", ["-t", "proc", "none", home.at("in/proc")]);
  try {
    const tar = await exported("path=in&format=tar", "a.tar");
    expect(execFileSync("tar", ["-tf", tar]).toString().split("\n").toSorted().join(" ")).toBe(
      " file proc/",
    );
  } finally {
    execFileSync("umount", [home.at("in/proc")]);
  }
});

const escapes: [string, MadeEntry[]][] = [
  ["an absolute name", [{ name: "/escaped", content: "x" }]],
  ["a name with ..", [{ name: "a/../../escaped", content: "x" }]],
  ["a directory with ..", [{ name: "../escaped/", type: "5" }]],
  [
    "a link planted before",
    [
      { name: "way", type: "2", target: ".." },
      { name: "way/escaped", content: "x" },
    ],
  ],
  [
    "a directory through a planted link",
    [
      { name: "way", type: "2", target: ".." },
      { name: "way/escaped/", type: "5" },
    ],
  ],
  ["a hard link to outside", [{ name: "hard", type: "1", target: "../secret" }]],
  ["a hard link to an absolute name", [{ name: "hard", type: "1", target: "/etc/passwd" }]],
  [
    "a hard link through a planted link",
    [
      { name: "way", type: "2", target: ".." },
      { name: "hard", type: "1", target: "way/secret" },
    ],
  ],
];

test.each(escapes)("%s does not leave the folder", async (_what, entries) => {
  await writeFile(home.at("secret"), "secret");
  const before = (await readdir(home.home)).toSorted();
  const answer = await put(tarOf({ name: "fine", content: "fine" }, ...entries));
  expect(answer.status).toBe(400);
  expect(errorOf(answer).message).toContain(entries.at(-1)?.name);
  expect((await readdir(home.home)).toSorted()).toEqual(before);
  expect(await readdir(home.at("out"))).not.toContain("hard");
});

test("a file over a planted link replaces the link and not what it names", async () => {
  await writeFile(home.at("secret"), "secret");
  const answer = await put(
    tarOf(
      { name: "x", type: "2", target: "../secret" },
      { name: "x", content: "mine", mode: 0o6777 },
    ),
  );
  expect(answer.status).toBe(200);
  expect(await readFile(home.at("secret"), "utf8")).toBe("secret");
  expect(await readFile(home.at("out/x"), "utf8")).toBe("mine");
  expect((await lstat(home.at("out/x"))).mode & 0o7777).toBe(0o777);
});

test("a file over another name of a file outside leaves that one as it is", async () => {
  await writeFile(home.at("secret"), "secret");
  await link(home.at("secret"), home.at("out/x"));
  expect((await put(tarOf({ name: "x", content: "mine" }))).status).toBe(200);
  expect(await readFile(home.at("secret"), "utf8")).toBe("secret");
});

const pax = (content: string): Buffer =>
  tarOf({ name: "pax", type: "x", content }).subarray(0, -1024);

test.each<[string, Buffer, string]>([
  ["a device", tarOf({ name: "null", type: "3" }), "null is a device"],
  ["a pipe", tarOf({ name: "fifo", type: "6" }), "fifo is a pipe"],
  [
    "a directory in a file's way",
    tarOf({ name: "d/", type: "5" }, { name: "d", content: "x" }),
    "d",
  ],
  ["a cut content", tarOf({ name: "cut", content: "x".repeat(2000) }).subarray(0, 1000), "cut"],
  ["a cut header", tarHeader({ name: "x" }).subarray(0, 100), "ends in the middle"],
  ["noise", Buffer.alloc(4096, "noise"), "not a tar"],
  ["gzip", Buffer.concat([Buffer.from([0x1f, 0x8b]), Buffer.alloc(1000)]), "gzip"],
  ["a deep tree", tarOf({ name: `${"d/".repeat(45)}x` }, ...deep(200)), "inside each other"],
  ["a long path", Buffer.concat([pax(longPath()), tarOf({ name: "x" })]), "too long"],
  ["odd attributes", Buffer.concat([pax("99999 path=x\n"), tarOf({ name: "x" })]), "attributes"],
  ["attributes without end", pax("0 \n"), "attributes"],
])("%s is refused with its name", async (_what, body, message) => {
  const answer = await put(body);
  expect(answer.status).toBe(400);
  expect(errorOf(answer).message).toContain(message);
});

function deep(levels: number): MadeEntry[] {
  const entries = [{ name: "d/".repeat(levels) + "x" }];
  return entries.flatMap(({ name }) => [
    { name: "long", type: "L", content: name },
    { name: "short", content: "x" },
  ]);
}

function longPath(): string {
  const rest = ` path=${"p/".repeat(2100)}x\n`;
  return `${rest.length + 4}${rest}`;
}
