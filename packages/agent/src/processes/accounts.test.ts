import { expect, test } from "vitest";
import { findAccount } from "./accounts.ts";

const files = {
  passwd: [
    "root:x:0:0:root:/root:/bin/bash",
    "broken",
    "other:x:notanumber:1::/:/bin/sh",
    "user:x:1000:1001:A User,,,:/home/user:/bin/zsh",
    "bare:x:5:6::",
  ].join("\n"),
  group:
    "root:x:0:\nsudo:x:27:someone,user\nown:x:1001:user\ndocker:x:99:user\nuserlike:x:98:user2\n",
};

test("finds a user by name, with the groups that list it", () => {
  expect(findAccount("user", files)).toEqual({
    name: "user",
    uid: 1000,
    gid: 1001,
    groups: [27, 99],
    home: "/home/user",
    shell: "/bin/zsh",
  });
});

test("finds the same user by number", () => {
  expect(findAccount("1000", files)?.name).toBe("user");
});

test("fills in what a line leaves empty", () => {
  expect(findAccount("bare", files)).toMatchObject({ home: "/", shell: "/bin/sh" });
});

test("takes a number without a line as it is", () => {
  expect(findAccount("4711", files)).toEqual({
    name: "4711",
    uid: 4711,
    gid: 4711,
    groups: [],
    home: "/",
    shell: "/bin/sh",
  });
});

test("knows no other names, and an image may have no users at all", () => {
  expect(findAccount("other", files)).toBeUndefined();
  expect(findAccount("user", { passwd: "", group: "" })).toBeUndefined();
});
