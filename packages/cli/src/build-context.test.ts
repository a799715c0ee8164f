import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { LIMITS } from "@insien/protocol";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readBuildContext } from "./build-context.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "insien-context-"));
});
afterEach(() => rm(directory, { recursive: true }));

async function put(files: Record<string, string | Uint8Array>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, name)), { recursive: true });
    await writeFile(join(directory, name), content);
  }
}
const names = async () => Object.keys(await readBuildContext(directory)).toSorted();

test("what .dockerignore names stays out, as Docker reads it", async () => {
  await put({
    Dockerfile: "FROM base",
    ".dockerignore":
      "# secrets\n.env\n**/*.pem\nnode_modules\n/dist/\nlogs/*\n!logs/keep\nDockerfile\nCASE\n",
    ".env": "TOKEN=1",
    "app/.env": "not at the root, which is what the line says",
    "app/deep/key.pem": "key",
    "node_modules/a/index.js": "a",
    "app/node_modules/b.js": "b",
    "dist/out.js": "out",
    "logs/one": "1",
    "logs/keep": "2",
    ".git/config": "git",
    case: "of another case",
    "main.ts": "main",
  });
  expect(await names()).toEqual([
    ".dockerignore",
    "Dockerfile",
    "app/.env",
    "app/node_modules/b.js",
    "case",
    "logs/keep",
    "main.ts",
  ]);
});

test("without one everything goes in, bytes that are no text too", async () => {
  await put({ Dockerfile: "FROM base", ".env": "A=1", binary: Uint8Array.of(255, 0) });
  expect(await readBuildContext(directory)).toEqual({
    Dockerfile: "FROM base",
    ".env": "A=1",
    binary: { base64: "/wA=" },
  });
});

test("too much is refused with what helps, and does not count when it is ignored", async () => {
  const large = new Uint8Array(LIMITS.buildContextBytes.value + 1);
  await put({ Dockerfile: "FROM base", "node_modules/large": large });
  const refusal = readBuildContext(directory);
  await expect(refusal).rejects.toMatchObject({ hint: expect.stringContaining(".dockerignore") });
  await put({ ".dockerignore": "node_modules" });
  expect(await names()).toEqual([".dockerignore", "Dockerfile"]);
});
