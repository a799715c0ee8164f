import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { npmPackagesAreCurrent } from "./npm-packages.mjs";

type Packages = Record<string, { version?: string; integrity?: string; optional?: boolean }>;

function folder(wanted: Packages, present?: Packages): string {
  const root = mkdtempSync(join(tmpdir(), "insien-npm-"));
  writeFileSync(join(root, "package-lock.json"), JSON.stringify({ packages: wanted }));
  mkdirSync(join(root, "node_modules"));
  if (present !== undefined) {
    const path = join(root, "node_modules/.package-lock.json");
    writeFileSync(path, JSON.stringify({ packages: present }));
  }
  return root;
}

const zod = { version: "4.0.0", integrity: "a" };

test("packages that npm wrote down as installed are current", () => {
  const wanted = { "": {}, "packages/a": {}, "node_modules/zod": zod };
  expect(npmPackagesAreCurrent(folder(wanted, { "node_modules/zod": zod }))).toBe(true);
});

test("an optional package of another processor need not be there", () => {
  const arm = { version: "1.0.0", optional: true };
  expect(npmPackagesAreCurrent(folder({ "node_modules/arm": arm }, {}))).toBe(true);
});

test.each([
  ["nothing was installed", undefined],
  ["one is missing", {}],
  ["one has another version", { "node_modules/zod": { ...zod, version: "4.0.1" } }],
  ["one has other contents", { "node_modules/zod": { ...zod, integrity: "b" } }],
])("they are not when %s", (_, present) => {
  expect(npmPackagesAreCurrent(folder({ "node_modules/zod": zod }, present))).toBe(false);
});
