import { expect, test } from "vitest";
import { accountsIn } from "./machine-home.ts";
import { tarArchive } from "./tar-archive.ts";

const MIB = 1024 * 1024;
const PASSWD = "root:x:0:0:root:/root:/bin/sh\n";

test("an account file is read out of its tar", async () => {
  const entry = { path: "passwd", mode: 0o644, content: Buffer.from(PASSWD) };
  const archive = async function* () {
    yield* tarArchive([entry]);
  };
  expect(await accountsIn(archive())).toBe(PASSWD);
});

test("one that an image made endless is left alone after its first part", async () => {
  let sent = 0;
  const endless = async function* () {
    for (;;) {
      sent += MIB;
      if (sent > 16 * MIB) throw new Error("it was read on and on");
      yield Buffer.alloc(MIB, "0");
    }
  };
  expect(await accountsIn(endless())).toBe("");
  expect(sent).toBeLessThanOrEqual(4 * MIB);
});
