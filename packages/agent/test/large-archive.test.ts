/** Archives past what 16 and 32 bits count, as Info-ZIP and tar read them. */
import { execFileSync, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer, request, type IncomingMessage } from "node:http";
import { pipeline } from "node:stream/promises";
import { mustHave } from "@insien/test-kit";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { ArchiveEntry, ArchiveWriter } from "../src/archive/archive-entry.ts";
import { ArchiveSink } from "../src/archive/archive-sink.ts";
import { archiveEntries } from "../src/archive/folder-walk.ts";
import { TarWriter } from "../src/archive/tar-writer.ts";
import { ZipWriter } from "../src/archive/zip-writer.ts";
import { makeHome, type Home } from "./files.fixture.ts";

const hasUnzip = mustHave(spawnSync("unzip", ["-v"]).status === 0, "unzip");
const ENTRIES = 70_000;

let home: Home;
beforeEach(async () => {
  home = await makeHome();
});
afterEach(() => home[Symbol.asyncDispose]());

type MakeWriter = (sink: ArchiveSink) => ArchiveWriter;
type Entries = Iterable<ArchiveEntry> | AsyncIterable<ArchiveEntry>;

/** Writes entries through a real answer into the file named. */
async function save(entries: Entries, makeWriter: MakeWriter, name: string): Promise<string> {
  const server = createServer(async (_incoming, response) => {
    const writer = makeWriter(new ArchiveSink(response, "application/octet-stream"));
    for await (const entry of entries) await writer.add(entry);
    await writer.end();
  });
  await once(server.listen(home.at("socket")), "listening");
  const outgoing = request({ socketPath: home.at("socket") }).end();
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  await pipeline(response, createWriteStream(home.at(name)));
  server.close();
  return home.at(name);
}

function* manyEntries(): Generator<ArchiveEntry> {
  const common = { mode: 0o644, uid: 0, gid: 0, modified: 1_000_000_000, content: Buffer.alloc(0) };
  for (let index = 1; index < ENTRIES; index += 1) {
    yield { ...common, type: "file", name: Buffer.from(`${index % 100}/${index}`) };
  }
  yield { ...common, type: "file", name: Buffer.from("last"), content: Buffer.from("one more") };
}

test.skipIf(!hasUnzip)("a zip of more than 65535 entries is as good", async () => {
  const zip = await save(manyEntries(), (sink) => new ZipWriter(sink), "many.zip");
  expect(execFileSync("unzip", ["-t", "-qq", zip]).toString()).toBe("");
  const listed = execFileSync("zipinfo", ["-t", zip]).toString();
  expect(listed).toMatch(new RegExp(`^${ENTRIES} files, 8 bytes`));
  expect(execFileSync("unzip", ["-p", zip, "last"]).toString()).toBe("one more");
});

test("a tar of as many is as good", async () => {
  const tar = await save(manyEntries(), (sink) => new TarWriter(sink), "many.tar");
  const names = execFileSync("tar", ["-tf", tar], { maxBuffer: 10_000_000 }).toString();
  expect(names.trimEnd().split("\n")).toHaveLength(ENTRIES);
  expect(execFileSync("tar", ["-xOf", tar, "last"]).toString()).toBe("one more");
});

// What 4 GiB would need, from 300,000 bytes on: a length, a packed length, a place.
test.skipIf(!hasUnzip)("numbers that find no room in 32 bits stand in 64", async () => {
  const wideFrom = 300_000;
  const sizes = { a: 250_000, b: 285_000, c: 299_999, d: 300_000, e: 2_000_000, f: 10, g: 200_000 };
  await mkdir(home.at("in"));
  for (const [name, size] of Object.entries(sizes)) {
    await writeFile(home.at(`in/${name}`), Buffer.alloc(size, `content of ${name} `));
  }
  const entries = archiveEntries(home.at("in"));
  const zip = await save(entries, (sink) => new ZipWriter(sink, { wideFrom }), "wide.zip");
  expect(execFileSync("unzip", ["-t", "-qq", zip]).toString()).toBe("");
  execFileSync("unzip", ["-qq", zip, "-d", home.at("out")]);
  execFileSync("diff", ["-r", home.at("in"), home.at("out")]);
  const listed = execFileSync("zipinfo", ["-v", zip]).toString();
  expect(listed).toContain("minimum software version required to extract:   4.5");
  expectStreamable(await readFile(zip), sizes, wideFrom);
});

/** Who reads a zip as it comes has no directory yet: what stands around each content is enough. */
function expectStreamable(zip: Buffer, sizes: Record<string, number>, wideFrom: number): void {
  let at = 0;
  let entries = 0;
  for (; zip.readUInt32LE(at) === 0x04034b50; entries += 1) {
    const nameEnd = at + 30 + zip.readUInt16LE(at + 26);
    const size = sizes[zip.subarray(at + 30, nameEnd).toString()] ?? -1;
    const contentStart = nameEnd + zip.readUInt16LE(at + 28);
    const wide = zip.subarray(nameEnd, contentStart).indexOf(Buffer.from([1, 0, 16, 0]));
    if (size >= wideFrom) {
      expect([zip.readUInt16LE(at + 4), zip.readUInt32LE(at + 18), wide]).toEqual([
        45, 0xffffffff, 9,
      ]);
    }
    if ((zip.readUInt16LE(at + 6) & 8) === 0) {
      at = contentStart + size;
      continue;
    }
    const after = zip.indexOf("PK\u0007\u0008", contentStart);
    const packed = BigInt(after - contentStart);
    const [lengths, end] =
      wide === -1
        ? [[zip.readUInt32LE(after + 8), zip.readUInt32LE(after + 12)].map(BigInt), after + 16]
        : [[zip.readBigUInt64LE(after + 8), zip.readBigUInt64LE(after + 16)], after + 24];
    expect(lengths).toEqual([packed, BigInt(size)]);
    at = end;
  }
  expect(entries).toBe(Object.keys(sizes).length);
}
