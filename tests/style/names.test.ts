import { basename } from "node:path";
import { expect, test } from "vitest";
import { isCode, repositoryFiles, type Violation } from "./repository.ts";

const KEBAB_CASE = /^\.?[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+(-[a-z0-9]+)*)*$/;
const ATTICS = /^(utils?|helpers?|common|misc|shared|stuff|lib)$/;

function nameViolations(paths: readonly string[]): Violation[] {
  return paths.filter(isCode).flatMap((path) => {
    const parts = path.split("/").map((part) => part.replace(/\.[a-z.]+$/, ""));
    const attic = parts.find((part) => ATTICS.test(part));
    if (attic !== undefined) return [`${path}: '${attic}' says nothing; name the noun it holds`];
    return KEBAB_CASE.test(basename(path)) ? [] : [`${path}: file names are kebab-case`];
  });
}

test("code files are named in kebab-case by the noun they hold", () => {
  expect(nameViolations(repositoryFiles().map(({ path }) => path))).toEqual([]);
});

test("the name check sees camelCase and attics", () => {
  expect(nameViolations(["packages/a/src/outputRing.ts"])).toHaveLength(1);
  expect(nameViolations(["packages/a/src/utils.ts"])).toHaveLength(1);
  expect(nameViolations(["packages/a/src/helpers/ring.ts"])).toHaveLength(1);
  expect(nameViolations(["packages/a/src/output-ring.test.ts"])).toEqual([]);
});
