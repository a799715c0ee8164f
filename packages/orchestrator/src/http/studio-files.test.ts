import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Fastify from "fastify";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { App } from "./door.ts";
import { addStudioRoutes } from "./routes/studio.ts";
import { StudioFiles } from "./studio-files.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "insien-studio-files-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function build(): Promise<void> {
  await mkdir(join(folder, "assets"));
  await writeFile(join(folder, "index.html"), '<meta nonce="__NONCE__">');
  await writeFile(join(folder, "icon.svg"), "<svg/>");
  await writeFile(join(folder, "assets/a-1.js"), "plain");
  await writeFile(join(folder, "assets/a-1.js.gz"), "squeezed");
  await writeFile(join(folder, ".sources"), "hash");
}

test("a page that is not built is none, and the server says how to build it", async () => {
  await mkdir(join(folder, "assets"));
  expect(StudioFiles.read(folder)).toBeUndefined();
  const app: App = Fastify();
  addStudioRoutes(app, StudioFiles.read(join(folder, "absent")) ?? "not built");
  const answer = await app.inject("/");
  expect(answer.statusCode).toBe(200);
  expect(answer.body).toContain("npm run build --workspace=@insien/studio");
  expect((await app.inject("/sandboxes")).statusCode).toBe(404);
});

test("each page has a nonce of its own, in the text and in the policy", async () => {
  await build();
  const files = StudioFiles.read(folder);
  const [first, second] = [files?.page(), files?.page()];
  const nonce = /nonce="([^"]{20,})"/.exec(String(first?.body))?.[1] ?? "absent";
  expect(first?.headers["content-security-policy"]).toContain(`'nonce-${nonce}'`);
  expect(String(second?.body)).not.toContain(nonce);
});

test("a file is sent as the client can read it, and nothing but what was built", async () => {
  await build();
  const files = StudioFiles.read(folder);
  expect(String(files?.file("a-1.js", "br, gzip;q=0.9")?.body)).toBe("squeezed");
  expect(files?.file("a-1.js", "gzip")?.headers["content-encoding"]).toBe("gzip");
  expect(String(files?.file("a-1.js")?.body)).toBe("plain");
  for (const name of ["a-1.js.gz", "../index.html", "__proto__", "b.js"]) {
    expect(files?.file(name), name).toBeUndefined();
  }
});
