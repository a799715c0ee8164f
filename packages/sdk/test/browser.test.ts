import { existsSync } from "node:fs";
import * as http from "node:http";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import type * as Sdk from "@insien/sandbox";
import { mustHave } from "@insien/test-kit";
import { build } from "esbuild";
import { chromium, type Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasBubblewrap, SdkServer } from "./server.fixture.ts";

const CHROMIUM = "/usr/bin/chromium";
const canRun = mustHave(existsSync(CHROMIUM), "Chromium") && hasBubblewrap;

/** What the page does; the SDK is `globalThis.sdk`. */
interface PageResult {
  version: string;
  streamed: string[];
  file: string;
  large: number;
  port: string;
  terminal: boolean;
  missing: string;
  wrongKey: string;
  destroyed: boolean[];
}

async function bundle(): Promise<string> {
  const { outputFiles, metafile } = await build({
    entryPoints: [resolve(import.meta.dirname, "../src/index.ts")],
    bundle: true,
    format: "iife",
    globalName: "sdk",
    platform: "browser",
    conditions: ["source"],
    write: false,
    metafile: true,
  });
  const foreign = Object.keys(metafile.inputs).filter((path) =>
    /node_modules|platform\/node/.test(path),
  );
  expect(foreign).toEqual([]);
  return outputFiles[0]?.text ?? "";
}

describe.skipIf(!canRun)("in a browser", () => {
  let server: SdkServer;
  let browser: Browser;
  let pages: http.Server;
  beforeAll(async () => {
    const script = await bundle();
    pages = http.createServer((request, response) => {
      const isScript = request.url === "/sdk.js";
      response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
      response.end(isScript ? script : "<!doctype html><script src=sdk.js></script>");
    });
    await new Promise<void>((done) => pages.listen(0, "127.0.0.1", done));
    server = await SdkServer.start();
    const args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
    browser = await chromium.launch({ executablePath: CHROMIUM, args });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.[Symbol.asyncDispose]();
    pages.close();
  });

  test("a page of another origin creates, writes, runs, streams and destroys", async () => {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(pages.address() as AddressInfo).port}/`);
    const result: PageResult = await page.evaluate(runInPage, server.options);
    expect(result).toEqual({
      version: "3",
      streamed: ["1\n", "2\n", "3\n"],
      file: "from a page",
      large: 5_000_000,
      port: "an answer",
      terminal: true,
      missing: "file_not_found",
      wrongKey: "unauthorized",
      destroyed: [true, false],
    });
  });
});

/** Runs in the page, so it can use nothing of this file. */
async function runInPage(options: { apiKey: string; apiUrl: string }): Promise<PageResult> {
  const { sdk } = globalThis as typeof globalThis & { sdk: typeof Sdk };
  const codeOf = (error: unknown): string => (error as { code: string }).code;
  const sandbox = new sdk.Sandbox(options);
  await sandbox.writeFile("hello.txt", "from a page");
  const { stdout } = await sandbox.runCommand("node", ["-p", "1 + 2"]);
  const streamed: string[] = [];
  await sandbox.commands.run("for n in 1 2 3; do echo $n; sleep 0.2; done", {
    onStdout: (text) => void streamed.push(text),
  });
  await sandbox.files.write("large", new Blob([new Uint8Array(5_000_000)]));
  let large = 0;
  const reader = (await sandbox.files.readStream("large")).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    large += part.value.byteLength;
  }
  const serve = 'require("net").createServer((s) => s.end("an answer")).listen(8222)';
  const listener = await sandbox.commands.start(["node", "-e", serve]);
  await sandbox.ports.waitFor(8222);
  const { readable } = await sandbox.ports.open(8222);
  const port = await new Response(readable).text();
  await listener.kill();
  let screen = "";
  const decoder = new TextDecoder();
  const terminal = await sandbox.terminals.open({
    command: ["/bin/sh"],
    onData: (bytes) => {
      screen += decoder.decode(bytes);
    },
  });
  await terminal.write("echo $((6*7)); exit\n");
  await terminal.wait();
  const file = (await sandbox.getFile("hello.txt")).content;
  const missing = await sandbox.getFile("none").then(() => "", codeOf);
  const wrongKey = await new sdk.Sandbox({ ...options, apiKey: "wrong" })
    .info()
    .then(() => "", codeOf);
  return {
    version: stdout.trim(),
    streamed,
    file,
    large,
    port,
    terminal: screen.includes("42"),
    missing,
    wrongKey,
    destroyed: [await sandbox.destroy(), await sandbox.destroy()],
  };
}
