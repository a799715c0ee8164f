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
  expect(text).toContain("# escape=`\nFROM debian\n");
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

test("a trigger of an image is looked at as well", () => {
  expect(() => mustBeHarmlessTrigger("ADD http://example.com /x")).toThrow(/plain paths/);
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
