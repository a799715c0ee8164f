import { execFileSync } from "node:child_process";
import { chmod, mkdir, readFile, readdir, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { LIMITS } from "@insien/protocol";
import { mustHave } from "@insien/test-kit";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fileHandlers } from "../src/files/index.ts";
import { failure, makeHome, noConnection as none, type Home } from "./files.fixture.ts";

const isRoot = process.getuid?.() === 0;
const id = 1;
let home: Home;
let files: ReturnType<typeof fileHandlers>;
beforeEach(async () => {
  home = await makeHome();
  files = fileHandlers(home);
});
afterEach(() => home[Symbol.asyncDispose]());

const write = (path: string, content: string, more: object = {}) =>
  files.write({ id, type: "write", path, content, ...more }, none);
const read = (path: string, encoding?: "base64") =>
  files.read({ id, type: "read", path, ...(encoding && { encoding }) }, none);
const list = (path: string, more: object = {}) =>
  files.listDirectory({ id, type: "listDirectory", path, ...more }, none);
const copy = (from: string, to: string, more: object = {}) =>
  files.copy({ id, type: "copy", from, to, ...more }, none);
const move = (from: string, to: string, more: object = {}) =>
  files.move({ id, type: "move", from, to, ...more }, none);
const remove = (path: string, more: object = {}) =>
  files.remove({ id, type: "remove", path, ...more }, none);

describe("write and read", () => {
  test("a file written by a relative path is read by a relative, a home and an absolute one", async () => {
    expect(await write("a/b/hello.txt", "hé")).toEqual({
      success: true,
      path: "a/b/hello.txt",
      size: 3,
    });
    for (const path of ["a/b/hello.txt", "~/a/b/hello.txt", home.at("a/b/hello.txt")]) {
      expect(await read(path)).toEqual({ content: "hé", path, size: 3, encoding: "utf8" });
    }
  });

  test("bytes pass through base64 unchanged", async () => {
    const content = Buffer.from([0, 255, 128, 10]).toString("base64");
    await write("bytes", content, { encoding: "base64" });
    expect((await read("bytes", "base64")).content).toBe(content);
  });

  test("replacing a file keeps its mode and leaves no temporary file", async () => {
    await write("run.sh", "one", { mode: 0o750 });
    await write("run.sh", "two");
    expect((await stat(home.at("run.sh"))).mode & 0o777).toBe(0o750);
    expect(await readdir(home.home)).toEqual(["run.sh"]);
  });

  test("writing through a link, dangling too, changes what it points to", async () => {
    await symlink("target.txt", home.at("link"));
    await write("link", "one");
    await write("link", "two");
    expect(await readFile(home.at("target.txt"), "utf8")).toBe("two");
    expect((await files.stat({ id, type: "stat", path: "link" }, none)).file.type).toBe("symlink");
  });

  test.skipIf(!mustHave(isRoot, "root rights"))(
    "as root, what is made belongs to the user",
    async () => {
      await write("new/deep/file", "x");
      await write("roots", "x", { user: "root" });
      const uids = await Promise.all(
        ["new", "new/deep", "new/deep/file", "roots"].map(
          async (path) => (await stat(home.at(path))).uid,
        ),
      );
      expect(uids).toEqual([1000, 1000, 1000, 0]);
    },
  );

  test("files above the inline limit are refused both ways", async () => {
    const limit = LIMITS.fileInlineBytes.value;
    await writeFile(home.at("big"), Buffer.alloc(limit + 1));
    expect((await failure(() => read("big"))).code).toBe("payload_too_large");
    expect((await failure(() => write("big2", "x".repeat(limit + 1)))).code).toBe(
      "payload_too_large",
    );
  });
});

describe("errors", () => {
  test.each([
    ["a missing file", () => read("missing"), "file_not_found"],
    ["a directory read", () => read("."), "is_a_directory"],
    ["a directory written", () => write(".", "x"), "is_a_directory"],
    ["a file as parent, read", () => read("file/x"), "not_a_directory"],
    ["a file as parent, written", () => write("file/x", "x"), "not_a_directory"],
    ["a loop of links read", () => read("loop"), "too_many_links"],
    ["a loop of links written", () => write("loop", "x"), "too_many_links"],
    ["a name too long", () => write("n".repeat(300), "x"), "invalid_path"],
    ["a directory that holds something", () => remove("full"), "directory_not_empty"],
    ["a directory made over a file", () => makeDirectory("file"), "file_exists"],
    ["a listing of a file", () => list("file"), "not_a_directory"],
    ["the kernel's file system", () => write("/proc/version", "x"), "permission_denied"],
    ["a directory nobody can make", () => write("/proc/made/up/x", "x"), "permission_denied"],
  ])("%s is named by its code and path", async (_what, action, code) => {
    await write("file", "x");
    await write("full/x", "x");
    await symlink("loop", home.at("loop"));
    const error = await failure(action);
    expect(error.code).toBe(code);
    expect(error.message).toMatch(/\/(tmp|proc)/);
  });

  const makeDirectory = (path: string) =>
    files.makeDirectory({ id, type: "makeDirectory", path }, none);

  test("a pipe and a device are refused at once", async () => {
    execFileSync("mkfifo", [home.at("pipe")]);
    for (const path of ["pipe", "/dev/zero", "/dev/tty"]) {
      expect((await failure(() => read(path))).code).toBe("not_a_file");
    }
    expect((await failure(() => write("pipe", "x"))).code).toBe("not_a_file");
    expect((await failure(() => write("/dev/null", "x"))).code).toBe("not_a_file");
  });

  test("a file of /proc is read to its end", async () => {
    expect((await read("/proc/version")).content).toMatch(/^Linux/);
  });

  test("the agent's own environment is not given away, by whatever path", async () => {
    await symlink("/proc/self/environ", home.at("innocent"));
    for (const path of ["/proc/self/environ", `/proc/${process.pid}/environ`, "innocent"]) {
      expect((await failure(() => read(path))).code).toBe("permission_denied");
    }
    for (const path of ["/proc/self/environ", `/proc/${process.pid}/environ`]) {
      expect((await failure(() => copy(path, "copied"))).code).toBe("permission_denied");
    }
    expect(await readdir(home.home)).toEqual(["innocent"]);
  });

  test.skipIf(!mustHave(isRoot, "root rights"))(
    "a full disk fails the write and keeps the old content",
    async () => {
      await mkdir(home.at("small"));
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "none", home.at("small")]);
      try {
        await write("small/file", "old");
        const error = await failure(() => write("small/file", "x".repeat(1024 * 1024)));
        expect(error.code).toBe("no_space");
        expect((await read("small/file")).content).toBe("old");
        expect(await readdir(home.at("small"))).toEqual(["file"]);
      } finally {
        execFileSync("umount", [home.at("small")]);
      }
    },
  );
});

describe("directories", () => {
  test("stat tells type, size, mode and a link's target", async () => {
    await write("file", "12345", { mode: 0o640 });
    await symlink("file", home.at("link"));
    const link = await files.stat({ id, type: "stat", path: "link" }, none);
    expect(link.file).toMatchObject({ type: "symlink", name: "link", target: "file" });
    const followed = await files.stat(
      { id, type: "stat", path: "link", followSymlinks: true },
      none,
    );
    expect(followed.file).toMatchObject({ type: "file", size: 5, mode: 0o640 });
  });

  test("a listing goes as deep as asked", async () => {
    await write("tree/a/b/c", "x");
    await write("tree/z", "x");
    const names = async (more: object) =>
      (await list("tree", more)).entries.map((entry) => entry.path.slice(home.at("tree/").length));
    expect(await names({})).toEqual(["a", "z"]);
    expect(await names({ depth: 2 })).toEqual(["a", "a/b", "z"]);
    expect(await names({ depth: 9 })).toEqual(["a", "a/b", "a/b/c", "z"]);
  });

  test("a listing past its limit says so", async () => {
    for (const name of ["1", "2", "3"]) await write(`tree/${name}`, "x");
    expect(await list("tree", { limit: 3 })).toMatchObject({ truncated: false });
    const cut = await list("tree", { limit: 2 });
    expect(cut.entries).toHaveLength(2);
    expect(cut.truncated).toBe(true);
  });

  test("a directory is made once, with its parents and the mode asked for", async () => {
    const make = () =>
      files.makeDirectory({ id, type: "makeDirectory", path: "x/y", mode: 0o700 }, none);
    expect(await make()).toEqual({ created: true, path: home.at("x/y") });
    expect((await make()).created).toBe(false);
    expect((await stat(home.at("x/y"))).mode & 0o777).toBe(0o700);
  });
});

describe("trees", () => {
  beforeEach(async () => {
    await write("tree/sub/file", "content", { mode: 0o751 });
    await symlink("sub/file", home.at("tree/link"));
  });

  test("a copy has the content, modes and links of the original", async () => {
    expect(await copy("tree", "new/copy")).toEqual({ path: home.at("new/copy") });
    expect((await read("new/copy/link")).content).toBe("content");
    expect((await stat(home.at("new/copy/sub/file"))).mode & 0o777).toBe(0o751);
    expect((await read("tree/sub/file")).content).toBe("content");
    expect((await stat(home.at("new/copy/sub/file"))).uid).toBe(isRoot ? 1000 : process.getuid?.());
  });

  test("an existing target is replaced only when allowed to", async () => {
    await write("other/old", "x");
    for (const act of [copy, move]) {
      expect((await failure(() => act("tree", "other"))).code).toBe("file_exists");
    }
    await copy("tree", "other", { overwrite: true });
    expect(await readdir(home.at("other"))).toEqual(["link", "sub"]);
    await move("tree/sub/file", "other/link", { overwrite: true });
    expect(await readdir(home.home)).toEqual(["other", "tree"]);
  });

  test("a tree does not go into itself, and a failed copy leaves nothing", async () => {
    expect((await failure(() => copy("tree", "tree/sub/x"))).code).toBe("invalid_request");
    expect((await failure(() => move("tree/sub", "tree", { overwrite: true }))).code).toBe(
      "invalid_request",
    );
    execFileSync("mkfifo", [home.at("tree/pipe")]);
    expect((await failure(() => copy("tree", "copy"))).code).toBe("not_a_file");
    expect(await readdir(home.home)).toEqual(["tree"]);
  });

  test.skipIf(!mustHave(isRoot, "root rights"))(
    "a move between file systems keeps owners",
    async () => {
      const elsewhere = join("/dev/shm", `insien-move-${process.pid}`);
      await move("tree", elsewhere);
      await move(elsewhere, "back");
      expect((await read("back/link")).content).toBe("content");
      expect((await stat(home.at("back/sub"))).uid).toBe(1000);
      expect((await failure(() => read("tree/link"))).code).toBe("file_not_found");
    },
  );

  test("removing tells whether there was something", async () => {
    expect(await remove("tree", { recursive: true })).toEqual({ removed: true });
    expect(await remove("tree", { recursive: true })).toEqual({ removed: false });
    expect((await failure(() => remove("/", { recursive: true }))).code).toBe("permission_denied");
  });

  test("removing a link leaves its target", async () => {
    await symlink("tree", home.at("alias"));
    await remove("alias", { recursive: true });
    expect((await read("tree/link")).content).toBe("content");
  });

  test("a recursive chmod does not follow links out of the tree", async () => {
    await write("outside", "x", { mode: 0o600 });
    await symlink("../outside", home.at("tree/way-out"));
    await chmod(home.at("tree/sub"), 0o700);
    await files.chmod({ id, type: "chmod", path: "tree", mode: 0o755, recursive: true }, none);
    expect((await stat(home.at("tree/sub"))).mode & 0o777).toBe(0o755);
    expect((await stat(home.at("tree/sub/file"))).mode & 0o777).toBe(0o755);
    expect((await stat(home.at("outside"))).mode & 0o777).toBe(0o600);
  });
});
