import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { Header } from "tar";
import { startServer, type TestServer } from "@insien/test-kit";
import { afterAll, beforeAll, expect, test } from "vitest";
import { unpack } from "../src/unpack.ts";
import { Insien } from "./insien.fixture.ts";

let server: TestServer;
let insien: Insien;
let directory: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "insien-cli-"));
  server = await startServer({ runtime: "bubblewrap" });
  insien = new Insien(server);
  await insien.text(["create", "--name", "box"]);
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(directory, { recursive: true });
});

const inside = (line: string): Promise<string> => insien.text(["exec", "-c", "box", line]);

test("files go in and come out, byte for byte, under the name that was given", async () => {
  const bytes = crypto.getRandomValues(new Uint8Array(60_000));
  await writeFile(join(directory, "a b.bin"), bytes);
  await insien.text(["cp", "a b.bin", "box:/tmp/in.bin"], { cwd: directory });
  await insien.text(["cp", "box:/tmp/in.bin", "."], { cwd: directory });
  expect(new Uint8Array(await readFile(join(directory, "in.bin")))).toEqual(bytes);
  // Into a directory that is there, by its own name.
  await insien.text(["cp", "a b.bin", "box:/tmp"], { cwd: directory });
  expect(await inside('ls "/tmp/a b.bin"')).toBe("/tmp/a b.bin");
});

test("folders go in and come out, with links, modes and empty folders", async () => {
  const tree = join(directory, "tree");
  await mkdir(join(tree, "deep/empty"), { recursive: true });
  await writeFile(join(tree, "deep/run.sh"), "#!/bin/sh\necho ran\n");
  await chmod(join(tree, "deep/run.sh"), 0o755);
  await symlink("deep/run.sh", join(tree, "link"));
  await insien.text(["cp", "tree", "box:/tmp/copied"], { cwd: directory });
  expect(await inside("/tmp/copied/link; readlink /tmp/copied/link")).toBe("ran\ndeep/run.sh");
  await insien.text(["cp", "tree", "box:/tmp/copied"], { cwd: directory });
  expect(await inside("ls /tmp/copied")).toBe("deep\nlink\ntree");
  await insien.text(["cp", "box:/tmp/copied/tree", "back"], { cwd: directory });
  expect(await readlink(join(directory, "back/link"))).toBe("deep/run.sh");
  expect((await stat(join(directory, "back/deep/run.sh"))).mode & 0o777).toBe(0o755);
  expect((await stat(join(directory, "back/deep/empty"))).isDirectory()).toBe(true);
});

test("links that lead out are copied as links, and nothing is written through them", async () => {
  await inside(
    "mkdir -p /tmp/trap && ln -sfn /usr/bin/env /tmp/trap/out && echo x > /tmp/trap/file",
  );
  await insien.text(["cp", "box:/tmp/trap", "trap"], { cwd: directory });
  expect(await readFile(join(directory, "trap/file"), "utf8")).toBe("x\n");
  expect(await readlink(join(directory, "trap/out"))).toBe("/usr/bin/env");
});

test("an archive that was made to leave its folder does not", async () => {
  const target = join(directory, "prison");
  const outside = join(directory, "outside");
  await Promise.all([mkdir(target), mkdir(outside)]);
  const hostile = [
    [{ name: "../escaped", content: "x" }],
    [{ name: join(directory, "absolute"), content: "x" }],
    [
      { name: "door", link: outside },
      { name: "door/through", content: "x" },
    ],
    [
      { name: "door", link: "../outside" },
      { name: "door/through", link: "/etc" },
    ],
  ];
  for (const entries of hostile) {
    await unpack(Readable.from([tarOf(entries)]), target).catch(() => undefined);
  }
  expect(await readdir(outside)).toEqual([]);
  const around = await readdir(directory);
  expect(around).not.toContain("escaped");
  expect(around).not.toContain("absolute");
});

interface Entry {
  name: string;
  content?: string;
  link?: string;
  mode?: number;
  type?: "Link";
}

/** A tar as no well-behaved program would write it. */
function tarOf(entries: readonly Entry[]): Buffer {
  const blocks = entries.map(({ name, content = "", link, mode = 0o644, type }) => {
    const block = Buffer.alloc(512 + Math.ceil(content.length / 512) * 512);
    const header = new Header({
      path: name,
      mode,
      size: content.length,
      type: type ?? (link === undefined ? "File" : "SymbolicLink"),
      linkpath: link ?? "",
      mtime: new Date(),
    });
    header.encode(block, 0);
    block.write(content, 512);
    return block;
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

test("what is copied out runs as nobody else, and is no other name of a file that was there", async () => {
  const target = join(directory, "modes");
  await mkdir(target);
  await writeFile(join(directory, "precious"), "mine");
  const entries = [
    { name: "suid", content: "x", mode: 0o6755 },
    { name: "inside", link: "." },
    { name: "hard", link: "../precious", type: "Link" as const },
  ];
  await unpack(Readable.from([tarOf(entries)]), target);
  expect((await stat(join(target, "suid"))).mode & 0o7777).toBe(0o755 & ~process.umask());
  expect(await readdir(target)).not.toContain("hard");
  expect((await stat(join(directory, "precious"))).nlink).toBe(1);
});

test("what has no name of its own is copied to the very place that was named", async () => {
  await inside("mkdir -p /tmp/named/.ssh/deep && echo x > /tmp/named/.ssh/keys");
  await mkdir(join(directory, "there"));
  await insien.text(["cp", "box:/tmp/named/.ssh/deep/..", "there"], { cwd: directory });
  expect((await readdir(join(directory, "there"))).toSorted()).toEqual(["deep", "keys"]);
});

test("a folder is exported as a zip", async () => {
  await inside("mkdir -p /tmp/report && seq 1000 > /tmp/report/numbers.txt");
  const answer = await insien.json<{ file: string; bytes: number }>(
    ["export", "box", "/tmp/report"],
    { cwd: directory },
  );
  expect(answer.file).toBe(join(directory, "report.zip"));
  const zip = await readFile(answer.file);
  expect(zip.byteLength).toBe(answer.bytes);
  expect(zip.subarray(0, 4).toString("latin1")).toBe("PK\u0003\u0004");
  expect(zip.includes("numbers.txt")).toBe(true);
  expect(await insien.text(["export", "box", "/tmp/report", "-"])).toMatch(/^PK\u0003\u0004/);
});
