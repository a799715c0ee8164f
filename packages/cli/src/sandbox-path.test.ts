import { expect, test } from "vitest";
import { copyName } from "./sandbox-path.ts";

test.each([
  ["/srv/app", "app"],
  ["/srv/app/", "app"],
  ["out.csv", "out.csv"],
  ["/srv/../.", undefined],
  ["/srv/..", undefined],
  ["..", undefined],
  [".", undefined],
  ["/", undefined],
])("a copy of %s is called %s", (path, name) => {
  expect(copyName(path)).toBe(name);
});
