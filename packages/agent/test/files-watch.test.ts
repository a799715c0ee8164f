import { execFileSync } from "node:child_process";
import { appendFile, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { LIMITS, type RpcNotice } from "@insien/protocol";
import { waitFor } from "@insien/test-kit";
import { afterEach, beforeEach, expect, test } from "vitest";
import { watchHandlers } from "../src/files/index.ts";
import { failure, makeHome, noConnection, type Home } from "./files.fixture.ts";

let home: Home;
let notices: RpcNotice[];
let client: AbortController;
let watches: ReturnType<typeof watchHandlers>;
let congested: boolean;
let readOn: (() => void) | undefined;

beforeEach(async () => {
  home = await makeHome();
  await mkdir(home.at("root/sub"), { recursive: true });
  notices = [];
  congested = false;
  client = new AbortController();
  watches = watchHandlers(home);
});
afterEach(async () => {
  client.abort();
  await home[Symbol.asyncDispose]();
});

const connection = () => ({
  ...noConnection,
  signal: client.signal,
  notify: (notice: RpcNotice) => void notices.push(notice),
  get congested() {
    return congested;
  },
  drained: () =>
    congested ? new Promise<void>((resolve) => (readOn = resolve)) : Promise.resolve(),
});
let current: ReturnType<typeof connection>;
beforeEach(() => {
  current = connection();
});
const watch = async (path: string, recursive = true) =>
  watches.watch({ id: 1, type: "watch", path, recursive }, current);

/** Events so far, as "create sub/file". */
const seen = (): string[] =>
  notices.flatMap((notice) =>
    notice.type === "fileEvent"
      ? `${notice.event} ${notice.path.slice(home.at("root/").length)}`
      : [],
  );
const sees = (...events: string[]) =>
  waitFor(() => events.every((event) => seen().includes(event)), {
    describe: `${events.join(", ")}; seen: ${seen().join(", ")}`,
  });

test("making, changing, renaming and removing are told with their paths", async () => {
  await watch("root");
  await writeFile(home.at("root/sub/file"), "x");
  await sees("create sub/file");
  await appendFile(home.at("root/sub/file"), "y");
  await sees("modify sub/file");
  await rename(home.at("root/sub/file"), home.at("root/moved"));
  await sees("remove sub/file", "create moved");
  await rm(home.at("root/moved"));
  await sees("remove moved");
});

test("a file replaced by a rename was modified", async () => {
  await writeFile(home.at("root/file"), "old");
  await watch("root");
  await writeFile(home.at("outside"), "new");
  await rename(home.at("outside"), home.at("root/file"));
  await sees("modify file");
  expect(seen()).toEqual(["modify file"]);
});

test("directories made in a hurry lose nothing, and each is told once", async () => {
  await watch("root");
  execFileSync(
    "sh",
    ["-c", "for i in $(seq 200); do mkdir -p a/$i/b/c && echo x > a/$i/b/c/f; done"],
    {
      cwd: home.at("root"),
    },
  );
  const expected = Array.from({ length: 200 }, (_, index) => `create a/${index + 1}/b/c/f`);
  await sees(...expected);
  const creates = seen().filter((event) => event.startsWith("create"));
  expect(new Set(creates).size).toBe(creates.length);
  await writeFile(home.at("root/a/200/b/c/f"), "changed");
  await sees("modify a/200/b/c/f");
  await rm(home.at("root/a"), { recursive: true });
  await sees("remove a", "remove a/200/b/c/f");
});

test("a directory moved in is watched, one moved out no longer", async () => {
  await watch("root");
  await mkdir(home.at("outside/deep"), { recursive: true });
  await rename(home.at("outside"), home.at("root/in"));
  await sees("create in", "create in/deep");
  await writeFile(home.at("root/in/deep/file"), "x");
  await sees("create in/deep/file");
  await rename(home.at("root/in"), home.at("outside"));
  await sees("remove in");
  await writeFile(home.at("outside/deep/unseen"), "x");
  await writeFile(home.at("root/last"), "x");
  await sees("create last");
  expect(seen().some((event) => event.includes("unseen"))).toBe(false);
});

test("without recursion only the directory's own entries are told", async () => {
  await watch("root", false);
  await writeFile(home.at("root/sub/file"), "x");
  await writeFile(home.at("root/own"), "x");
  await sees("create own");
  expect(seen().some((event) => event.includes("sub/file"))).toBe(false);
});

test("one file is watched through its replacements", async () => {
  await writeFile(home.at("root/file"), "x");
  await watch("root/file");
  await writeFile(home.at("root/other"), "x");
  await writeFile(home.at("new"), "y");
  await rename(home.at("new"), home.at("root/file"));
  await sees("modify file");
  await rm(home.at("root/file"));
  await sees("remove file");
  expect(seen()).toEqual(["modify file", "remove file"]);
});

test("a root that vanishes ends the watch", async () => {
  const { watchId } = await watch("root");
  await rename(home.at("root"), home.at("elsewhere"));
  const end = await waitFor(() => notices.find(({ type }) => type === "watchEnd"));
  expect(end).toMatchObject({ watchId, error: { code: "file_not_found" } });
  expect(await watches.unwatch({ id: 1, type: "unwatch", watchId }, current)).toEqual({
    removed: false,
  });
});

test("unwatch ends the notices, and so does the connection's end", async () => {
  const { watchId } = await watch("root");
  const other = await watch("root");
  expect(await watches.unwatch({ id: 1, type: "unwatch", watchId }, noConnection)).toEqual({
    removed: false,
  });
  expect(await watches.unwatch({ id: 1, type: "unwatch", watchId }, current)).toEqual({
    removed: true,
  });
  await writeFile(home.at("root/file"), "x");
  await sees("create file");
  const ids = notices.map((notice) => "watchId" in notice && notice.watchId);
  expect(new Set(ids)).toEqual(new Set([other.watchId]));
  client.abort();
  expect(
    await watches.unwatch({ id: 1, type: "unwatch", watchId: other.watchId }, current),
  ).toEqual({
    removed: false,
  });
});

test("a client that does not read is told to list again", async () => {
  const { watchId } = await watch("root");
  congested = true;
  await writeFile(home.at("root/file"), "x");
  await waitFor(() => readOn !== undefined, { describe: "the watch to wait for its client" });
  congested = false;
  readOn?.();
  await waitFor(() => notices.some(({ type }) => type === "watchOverflow"));
  expect(notices).toEqual([{ type: "watchOverflow", watchId }]);
});

test("there are so many watches and no more; a missing path is named", async () => {
  for (let count = 0; count < LIMITS.watchesPerSandbox.value; count += 1)
    await watch("root", false);
  expect((await failure(() => watch("root"))).code).toBe("limit_reached");
  client.abort();
  expect((await failure(() => watch("missing"))).code).toBe("file_not_found");
});
