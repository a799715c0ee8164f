import { InsienError } from "@insien/protocol";
import { expect, test } from "vitest";
import { mountPathOf, pathInTheWay, pathInVolume } from "./mount-paths.ts";

test("a path has one spelling", () => {
  for (const path of ["/data", "/data/", "//data", "/./data", "/data/x/..", "/data///"])
    expect(mountPathOf(path)).toBe("/data");
});

test("volumes may not lie within one another", () => {
  const taken = ["/data", "/home/user/work"];
  expect(pathInTheWay("/data", taken)).toBe("/data");
  expect(pathInTheWay("/data/deep", taken)).toBe("/data");
  expect(pathInTheWay("/home", taken)).toBe("/home/user/work");
  expect(pathInTheWay("/data2", taken)).toBeUndefined();
  expect(pathInTheWay("/home/user/worker", taken)).toBeUndefined();
});

test("a path in a volume starts at its root, however it is written", () => {
  for (const path of ["a/b", "/a/b", "./a/b", "a/x/../b", "//a/b"])
    expect(pathInVolume("/data", path)).toBe("/data/a/b");
  for (const path of ["/", ".", "a/.."]) expect(pathInVolume("/data", path)).toMatch(/^\/data\/?$/);
});

test.each(["..", "../x", "/..", "/../etc/passwd", "a/../../x", "a/b/../../../data2", "x\0"])(
  "%j does not lead out of a volume",
  (path) => {
    expect(() => pathInVolume("/data", path)).toThrow(InsienError);
    expect(() => pathInVolume("/data", path)).toThrow(/leads out of the volume/);
  },
);
