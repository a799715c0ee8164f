import { expect, test } from "vitest";
import {
  isCode,
  isShipped,
  isTest,
  lineOf,
  repositoryFiles,
  type TextFile,
  type Violation,
} from "./repository.ts";

interface Ban {
  what: string;
  pattern: RegExp;
  where: (path: string) => boolean;
  instead: string;
  /** A line that breaks the rule: proof that the check can fail. */
  example: string;
}

/** Patterns are put together from parts, so that this file does not break its own rules. */
const word = (...parts: string[]): RegExp => new RegExp(parts.join(""), "gm");

const isDoorToPeople = (path: string): boolean =>
  path.startsWith("packages/cli/") || path.endsWith("/main.ts");

const BANS: readonly Ban[] = [
  {
    what: "console output in a library",
    pattern: word("\\bconsole", "\\.\\w+\\("),
    where: (path) => isShipped(path) && !isDoorToPeople(path),
    instead: "take a logger, or give the text to the caller",
    example: "console" + ".log(1)",
  },
  {
    what: "a cast to any",
    pattern: word("\\bas ", "any\\b(?=\\s*([;,)\\].}]|$))"),
    where: isCode,
    instead: "parse it with a schema or narrow it with a type guard",
    example: "x as " + "any",
  },
  {
    what: "a double cast",
    pattern: word("\\bas unknown ", "as\\b"),
    where: isCode,
    instead: "parse it with a schema or narrow it with a type guard",
    example: "x as unknown " + "as Y",
  },
  {
    what: "a silenced compiler",
    pattern: word("@ts-", "(ignore|nocheck|expect-error)"),
    where: isCode,
    instead: "give it a type",
    example: "// @ts-" + "ignore",
  },
  {
    what: "a silenced linter without a reason",
    pattern: word("(oxlint|eslint)-", "disable(?!.* -- )"),
    where: isCode,
    instead: "mend it, or write the reason after ' -- '",
    example: "// oxlint-" + "disable-next-line no-var",
  },
  {
    what: "work left over",
    pattern: word("\\b(TO", "DO|FIX", "ME|XX", "X)\\b"),
    where: isCode,
    instead: "do it, or open an issue",
    example: "// TO" + "DO later",
  },
  {
    what: "a test that hides the others",
    pattern: word("\\b(test|it|describe)\\.", "only\\("),
    where: isTest,
    instead: "name the file on the command line",
    example: "test." + "only(",
  },
  {
    what: "a test skipped for good",
    pattern: word("\\b(test|it|describe)\\.", "(skip|todo|fails)\\("),
    where: isTest,
    instead: "use skipIf with mustHave(), which states the reason and fails in CI",
    example: "test." + "skip(",
  },
  {
    what: "a sleep in a test",
    pattern: word("=> (void )?set", "Timeout\\((?!.*// slow)|timers/", "promises"),
    where: (path) => isTest(path) && !path.startsWith("packages/test-kit/"),
    instead:
      "waitFor(predicate) from @insien/test-kit; one that only acts slowly says // slow: why",
    example: "await new Promise((done) => set" + "Timeout(done, 100))",
  },
  {
    what: "a folder of somebody's machine",
    pattern: word("(?<![\\w.])/(Users|wo", "rk|home/(?!user\\b))/?[a-z]\\w*/"),
    where: () => true,
    instead: "a path relative to the repository or the sandbox",
    example: "/Users" + "/ann/project",
  },
];

function banViolations({ path, text }: TextFile, bans: readonly Ban[] = BANS): Violation[] {
  return bans
    .filter(({ where }) => where(path))
    .flatMap(({ what, pattern, instead }) =>
      [...text.matchAll(pattern)].map(
        ({ index }) => `${path}:${lineOf(text, index)}: ${what}; instead: ${instead}`,
      ),
    );
}

test("nothing banned is used", () => {
  expect(repositoryFiles().flatMap((file) => banViolations(file))).toEqual([]);
});

test.each(BANS)("the check sees $what", (ban) => {
  const paths = ["packages/sdk/src/a.ts", "packages/sdk/src/a.test.ts"];
  const path = paths.find((candidate) => ban.where(candidate)) ?? "";
  expect(path).not.toBe("");
  expect(banViolations({ path, text: `\n  ${ban.example}\n` }, [ban])).toHaveLength(1);
});
