import { expect, test } from "vitest";
import { mustBeHarmlessTrigger, parseDockerfile, planBuild } from "./dockerfile.ts";

const label = "LABEL ours=yes";
const replacements = new Map([["insien-base", "insien-base:abc"]]);
const plan = (text: string) => planBuild(parseDockerfile(text), { replacements, label });

test("lines are joined, comments left out, and every stage labelled", () => {
  const { text, bases } = plan(
    "# a comment\nARG VERSION=12\nfrom debian:${VERSION} as one\nRUN echo a \\\n  # inside\n\n  && echo b\n" +
      "FROM insien-base\nCOPY --from=one /a /b\n",
  );
  expect(text.split("\n")).toEqual([
    "ARG VERSION=12",
    "FROM debian:12 AS one",
    label,
    "RUN echo a   && echo b",
    "FROM insien-base:abc",
    label,
    "COPY --from=one /a /b",
    "",
  ]);
  expect(bases).toEqual(["debian:12", "insien-base:abc"]);
});

test("a stage is no image, nor is scratch", () => {
  expect(plan("FROM scratch AS a\nFROM a\nFROM A as b\n").bases).toEqual([]);
});

test("another escape character is kept", () => {
  const { text } = plan("# escape=`\nFROM debian\nRUN a `\n b \\\n");
  expect(text).toContain("# escape=`\nFROM debian:latest\n");
  expect(text).toContain("RUN a  b \\\n");
});

test.each([
  "ADD http://169.254.169.254/latest /x",
  "ADD --chown=1:1 https://example.com/a /x",
  'ADD ["http://example.com/a", "/x"]',
  "ADD \\\n  http://10.0.0.1/a /x",
  "ADD $ADDRESS /x",
  'ADD ht""tp://example.com /x',
  "ADD http:\\//example.com /x",
  "ADD git@example.com:a/b.git /x",
  "ONBUILD ADD http://example.com /x",
  "onbuild add http://example.com /x",
])("%j is refused: the daemon would fetch it", (line) => {
  expect(() => plan(`FROM debian\n${line}\n`)).toThrow(/ADD takes only plain paths/);
});

const ID = "0123456789abcdef".repeat(4);

test.each([
  `FROM sha256:${ID}`,
  "FROM sha256:0",
  `FROM ${ID}`,
  "FROM debian\nCOPY --from=10.0.0.1:5000/a /x /y",
  "FROM debian\nCOPY --from=sha256:0 / /y",
  "FROM debian\nCOPY --chown=1:1 --from=a123 / /y",
  "FROM debian\nCOPY --from=99999999999999999999 / /y",
  'FROM debian\nCOPY --fr"om"=sha256:0 / /y',
  "FROM debian\nCOPY --fr\\om=sha256:0 / /y",
  "FROM debian\nCOPY --chown=1\u0085--from=sha256:0 / /y",
  "FROM debian\nCOPY \u0085--from=sha256:0 / /y",
  "FROM debian AS abc\nCOPY --from=abc / /y",
  "FROM debian\nCOPY --from=later / /y\nFROM debian AS later",
  "FROM debian\nCOPY --from=scratch / /y",
  "FROM debian\nONBUILD COPY --from=sha256:0 / /y",
])("%j is refused: it may be somebody else's image", (text) => {
  expect(() => plan(text)).toThrow(expect.objectContaining({ code: "build_failed" }));
});

test("a name is one to the daemon too, which takes ids for what has no tag", () => {
  expect(plan("FROM abc123\n")).toMatchObject({
    text: expect.stringContaining("FROM abc123:latest\n"),
    bases: ["abc123:latest"],
  });
});

test("earlier stages are copied from by name and by number", () => {
  const text =
    "FROM debian AS One\nFROM scratch\nCOPY --chown=1:1 --from=one /a /b\nCOPY --from=0 /a /b\n";
  expect(plan(text).text).toContain("COPY --from=0 /a /b");
});

test.each(["FROM debian\nRUN a \\\\\n", "FROM debian\nRUN a \\\\", "FROM debian\nRUN a \\ \\\n"])(
  "%j has no end, and must not take our own line for it",
  (text) => {
    expect(() => plan(text)).toThrow(/has no end/);
  },
);

test("a trigger of an image is looked at as well", () => {
  expect(() => mustBeHarmlessTrigger("ADD http://example.com /x")).toThrow(/plain paths/);
  expect(() => mustBeHarmlessTrigger("COPY --from=sha256:0 / /y")).toThrow(/no earlier stage/);
  expect(() => mustBeHarmlessTrigger("RUN echo hello")).not.toThrow();
});

test.each(["FROM $UNKNOWN", "FROM a b", 'FROM "debian"', "HELLO", "RUN <<EOF\necho hi\nEOF"])(
  "%j is refused with the step",
  (text) => {
    expect(() => plan(text)).toThrow(expect.objectContaining({ code: "build_failed" }));
  },
);

test("plain files may be added", () => {
  expect(plan('FROM debian\nADD a.tar /x\nADD ["a b", "/x"]').text).toContain("ADD a.tar /x");
});
