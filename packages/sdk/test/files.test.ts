import { randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SandboxNotFoundError, type FileEvent, type Sandbox } from "@insien/sandbox";
import { waitFor } from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasBubblewrap, SdkServer } from "./server.fixture.ts";

const randomSmall = randomBytes(50_000);

describe.skipIf(!hasBubblewrap)("sandbox.files", () => {
  let server: SdkServer;
  let sandbox: Sandbox;
  beforeAll(async () => {
    server = await SdkServer.start();
    sandbox = await server.create();
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  const large = randomBytes(12 * 1024 * 1024);
  const contents: [string, () => Parameters<Sandbox["files"]["write"]>[1], Uint8Array][] = [
    ["text", () => "häßlich\n", Buffer.from("häßlich\n")],
    ["nothing", () => "", Buffer.alloc(0)],
    ["bytes", () => randomSmall, Buffer.from(randomSmall)],
    ["an ArrayBuffer", () => Uint8Array.from([0, 255]).buffer, Buffer.from([0, 255])],
    ["large bytes", () => large, large],
    ["large text", () => "x".repeat(9_000_000), Buffer.alloc(9_000_000, "x")],
    ["a Blob", () => new Blob([large]), large],
    ["a stream", () => new Blob([large]).stream(), large],
    ["an iterable", () => pieces(large), large],
  ];

  test.each(contents)("writes %s and reads it back", async (name, content, expected) => {
    const path = `written/${name.replaceAll(" ", "-")}`;
    await sandbox.files.write(path, content());
    const read = await sandbox.files.readBytes(path);
    expect(Buffer.compare(read, expected)).toBe(0);
  });

  test("text too long for one message is read all the same", async () => {
    await sandbox.files.write("long.txt", "y".repeat(9_000_001));
    expect(await sandbox.files.read("long.txt")).toHaveLength(9_000_001);
  });

  test("a stream gives the file in pieces, and stops when cancelled", async () => {
    await sandbox.files.write("streamed", large);
    const parts = await Array.fromAsync(await sandbox.files.readStream("streamed"));
    expect(parts.length).toBeGreaterThan(1);
    expect(Buffer.compare(Buffer.concat(parts), large)).toBe(0);
    const cancelled = await sandbox.files.readStream("streamed");
    await cancelled.cancel();
    expect(await sandbox.files.read("written/text")).toBe("häßlich\n");
  });

  test("ranges", async () => {
    await sandbox.files.write("digits", "0123456789");
    expect(await sandbox.files.read("digits", { range: { start: 2, end: 4 } })).toBe("234");
    expect(await sandbox.files.read("digits", { range: { start: 7 } })).toBe("789");
    const outside = sandbox.files.read("digits", { range: { start: 99 } });
    await expect(outside).rejects.toMatchObject({ code: "range_not_satisfiable" });
  });

  test("mode, chmod and stat", async () => {
    await sandbox.files.write("run.sh", "#!/bin/sh\necho ran", { mode: 0o755 });
    expect((await sandbox.runCommand("./run.sh")).stdout).toBe("ran\n");
    await sandbox.files.chmod("run.sh", 0o600);
    expect(await sandbox.files.stat("run.sh")).toMatchObject({
      type: "file",
      mode: 0o600,
      size: 18,
    });
  });

  test("directories, list, move, copy, remove, exists", async () => {
    const { files } = sandbox;
    expect(await files.makeDirectory("d/e")).toBe(true);
    expect(await files.makeDirectory("d/e")).toBe(false);
    await files.write("d/a", "1");
    await files.copy("d/a", "d/e/b");
    const { entries, truncated } = await files.list("d", { depth: 2 });
    expect(entries.map((entry) => entry.name).toSorted()).toEqual(["a", "b", "e"]);
    expect(truncated).toBe(false);
    await expect(files.move("d/a", "d/e/b")).rejects.toMatchObject({ code: "file_exists" });
    await files.move("d/a", "d/e/b", { overwrite: true });
    expect(await files.exists("d/a")).toBe(false);
    await expect(files.remove("d")).rejects.toMatchObject({ code: "directory_not_empty" });
    expect(await files.remove("d", { recursive: true })).toBe(true);
    expect(await files.remove("d")).toBe(false);
  });

  describe("local files", () => {
    let directory: string;
    const local = (name: string): string => join(directory, name);
    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), "insien-sdk-files-"));
    });
    afterAll(() => rm(directory, { recursive: true }));

    test.each([0, 1, 50_000, 1_048_576, 12_000_000])("of %i bytes go up and down", async (size) => {
      const content = large.subarray(0, size);
      await writeFile(local("up"), content);
      await sandbox.files.upload(local("up"), `local/${size}`, { mode: 0o640 });
      expect(await sandbox.files.stat(`local/${size}`)).toMatchObject({ size, mode: 0o640 });
      await sandbox.files.download(`local/${size}`, local("down"));
      expect(Buffer.compare(await readFile(local("down")), content)).toBe(0);
    });

    test("what says nothing of its length goes up whole", async () => {
      await sandbox.files.upload("/proc/self/status", "status");
      expect(await sandbox.files.read("status")).toMatch(/^Name:/);
    });

    test("that are missing, on either side, are told by the one that misses them", async () => {
      const up = sandbox.files.upload(local("none"), "none");
      await expect(up).rejects.toMatchObject({ code: "ENOENT" });
      const down = sandbox.files.download("none", local("not-made"));
      await expect(down).rejects.toMatchObject({ code: "file_not_found" });
      const into = sandbox.files.download("status", local("no/such/directory"));
      await expect(into).rejects.toMatchObject({ code: "ENOENT" });
      expect(await readdir(directory)).not.toContain("not-made");
    });

    test("that the sandbox refuses are refused with its reason, however large", async () => {
      await writeFile(local("large"), large);
      await sandbox.files.makeDirectory("taken");
      const upload = sandbox.files.upload(local("large"), "taken");
      await expect(upload).rejects.toMatchObject({ code: "is_a_directory" });
    });

    test("stop on their way when their signal says so", async () => {
      await sandbox.runCommand("truncate", ["-s", "4G", "endless"]);
      const controller = new AbortController();
      const options = { signal: controller.signal };
      const download = sandbox.files.download("endless", "/dev/null", options);
      setTimeout(() => controller.abort(), 50);
      await expect(download).rejects.toMatchObject({ name: "AbortError" });
    });
  });

  test("what is missing is a not-found error that names it", async () => {
    const error = await sandbox.getFile("no/such").catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(SandboxNotFoundError);
    expect(error).toMatchObject({ code: "file_not_found" });
    await expect(sandbox.files.readBytes("no/such")).rejects.toMatchObject({
      code: "file_not_found",
    });
  });

  test("search", async () => {
    await sandbox.files.write("haystack/a.txt", "hay\nthe Needle\n");
    await sandbox.files.write("haystack/b.log", "needle\n");
    const options = { ignoreCase: true, glob: "*.txt" };
    const { matches } = await sandbox.files.search("haystack", "needle", options);
    expect(matches).toMatchObject([{ line: 2, text: "the Needle" }]);
  });

  test("watch", async () => {
    await sandbox.files.makeDirectory("watched");
    const events: FileEvent[] = [];
    const watch = await sandbox.files.watch("watched", { onEvent: (event) => events.push(event) });
    await sandbox.runCommand("touch", ["watched/new"]);
    await waitFor(() => events.some((event) => event.path.endsWith("watched/new")), {
      describe: "an event for the new file",
    });
    watch.stop();
    await watch.ended;
  });

  test("an upload that is aborted leaves the file as it was", async () => {
    await sandbox.files.write("kept", "before");
    const controller = new AbortController();
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (let count = 0; ; count += 1) {
        if (count === 5) controller.abort();
        yield new Uint8Array(100_000);
      }
    }
    const upload = sandbox.files.write("kept", endless(), { signal: controller.signal });
    await expect(upload).rejects.toMatchObject({ name: "AbortError" });
    expect(await sandbox.files.read("kept")).toBe("before");
  });
});

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000);
}
