/**
 * Goal: pages that sandboxes serve are hostile, and a browser that visits them keeps everything else
 * to itself: what links open, cookies, and the origin of the API, which the path form shares.
 */
import { existsSync } from "node:fs";
import { Sandbox } from "@insien/sandbox";
import { type TestServer, mustHave, startServer } from "@insien/test-kit";
import { type Browser, type Page, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ProgramSaw, serveIn, visit } from "../port-visits.ts";
import { presentRuntimes } from "../runtimes.ts";

const CHROMIUM = "/usr/bin/chromium";
const canRun = mustHave(existsSync(CHROMIUM), "Chromium") && presentRuntimes.includes("bubblewrap");
const PORT = 8080;

describe.runIf(canRun)("a page of a sandbox in a browser", () => {
  let server: TestServer;
  let sandbox: Sandbox;
  let browser: Browser;
  beforeAll(async () => {
    server = await startServer({ runtime: "bubblewrap" });
    sandbox = await Sandbox.create({ apiKey: server.apiKey, apiUrl: server.url });
    await serveIn(sandbox, PORT);
    const args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
    browser = await chromium.launch({ executablePath: CHROMIUM, args });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.[Symbol.asyncDispose]();
  });

  const link = async (body: object = {}, port = PORT) => {
    const answer = await fetch(`${server.url}/api/v1/sandboxes/${sandbox.id}/ports/${port}/link`, {
      method: "POST",
      headers: { ...server.headers, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return (await answer.json()) as { url: string; path_url: string; expires_at: string };
  };
  const newPage = async (): Promise<Page> => (await browser.newContext()).newPage();

  test("is opened by a link, and afterwards by the cookie that took its place", async () => {
    const page = await newPage();
    const { url } = await link();
    const clean = new URL(url);
    clean.search = "";
    const refused = await page.goto(clean.href);
    expect(refused?.status()).toBe(401);
    expect(await page.title()).toBe("This address needs a link");

    const opened = new URL("page?insien_token=", url);
    await page.goto(`${opened.href}${new URL(url).searchParams.get("insien_token")}`);
    expect(page.url()).toBe(new URL("page", url).href);
    await page.waitForFunction("document.title.startsWith('POST')");
    expect(await page.title()).toBe(`POST ${clean.origin}`);
    expect(await page.evaluate("document.cookie")).toBe("");
    const [cookie] = await page.context().cookies();
    expect(cookie).toMatchObject({
      ...{ name: "insien_port", httpOnly: true, sameSite: "Lax", domain: clean.hostname },
    });
    // The program never sees it.
    const saw = await page.evaluate(async () => (await fetch("/headers")).text());
    expect((JSON.parse(saw) as ProgramSaw).headers.cookie).toBeUndefined();
    const echoed = await page.evaluate(
      (address) =>
        new Promise<string>((resolve, reject) => {
          const socket = new WebSocket(address);
          socket.addEventListener("open", () => socket.send("from a page"));
          socket.addEventListener("message", ({ data }) => resolve(String(data)));
          socket.addEventListener("error", () => reject(new Error("refused")));
        }),
      clean.href.replace("http", "ws"),
    );
    expect(echoed).toBe("from a page");
    await page.context().close();
  });

  test("has no origin under a path, and reaches nothing of the API's", async () => {
    const page = await newPage();
    const { path_url: pathUrl } = await link();
    const token = new URL(pathUrl).searchParams.get("insien_token") ?? "";
    await page.goto(`${new URL("page", pathUrl).href}?insien_token=${token}`);
    // What it loads and asks for is found by the path, without a cookie.
    await page.waitForFunction("document.title.startsWith('POST')");
    expect(await page.title()).toBe("POST null");
    expect(await page.context().cookies()).toEqual([]);
    expect(page.url()).not.toContain("?");
    const tried = await page.evaluate(`(() => {
      const fails = (work) => {
        try {
          work();
          return false;
        } catch {
          return true;
        }
      };
      return {
        cookie: fails(() => document.cookie),
        storage: fails(() => localStorage.length),
        workers: fails(() => navigator.serviceWorker.controller),
      };
    })()`);
    expect(tried).toEqual({ cookie: true, storage: true, workers: true });
    await page.context().close();
  });

  test("ends with its link", async () => {
    const { url, expires_at: expiresAt } = await link({ expires_in_seconds: 1 });
    const path = `/${new URL(url).search}`;
    const host = new URL(url).host;
    expect(new Date(expiresAt).getTime() - Date.now()).toBeLessThanOrEqual(1000);
    await expect
      .poll(async () => (await visit(server.url, { host, path })).status, { timeout: 5000 })
      .toBe(401);
  });
});
