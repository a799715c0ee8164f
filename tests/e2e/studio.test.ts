/**
 * The studio as people use it: a real server, real machines, a real browser. Screenshots of every page
 * in both themes are kept in .cache/studio-screenshots.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { Sandbox, SandboxClient } from "@insien/sandbox";
import { type TestServer, mustHave, startServer, waitFor } from "@insien/test-kit";
import axe from "axe-core";
import { type Browser, type Page, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isBuilt } from "../../packages/studio/sources.mjs";
import { presentRuntimes } from "../runtimes.ts";

const CHROMIUM = "/usr/bin/chromium";
const root = dirname(dirname(import.meta.dirname));
const pictures = join(root, ".cache/studio-screenshots");
const canRun = mustHave(existsSync(CHROMIUM), "Chromium") && presentRuntimes.includes("bubblewrap");
const PASSWORD = "a long enough sentence";
const WIDTHS = [1280, 820];
const WIDE = [1280];
const THEMES = ["light", "dark"] as const;

let server: TestServer;
let browser: Browser;
let page: Page;
/** What must not be: requests to elsewhere, and what the page's policy refused. */
const strayed: string[] = [];
const complaints: string[] = [];

beforeAll(async () => {
  if (!canRun) return;
  if (!isBuilt()) {
    await promisify(execFile)(process.execPath, [join(root, "packages/studio/build.mjs")]);
  }
  await mkdir(pictures, { recursive: true });
  server = await startServer({
    runtime: "bubblewrap",
    env: { INSIEN_MONITOR_INTERVAL_SECONDS: "1" },
  });
  const args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"];
  browser = await chromium.launch({ executablePath: CHROMIUM, args });
  page = await newPage();
}, 120_000);
afterAll(async () => {
  await browser?.close();
  await server?.[Symbol.asyncDispose]();
});

async function newPage(): Promise<Page> {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 860 },
    colorScheme: "light",
    reducedMotion: "reduce",
  });
  const opened = await context.newPage();
  opened.setDefaultTimeout(15_000);
  opened.on("request", (request) => {
    const { origin } = new URL(request.url());
    if (!request.url().startsWith("data:") && origin !== new URL(server.url).origin)
      strayed.push(request.url());
  });
  opened.on("console", (message) => {
    if (/Content Security Policy/i.test(message.text())) complaints.push(message.text());
  });
  opened.on("pageerror", (error) => complaints.push(String(error)));
  return opened;
}

interface AxeResult {
  violations: { id: string; nodes: { html: string; failureSummary: string }[] }[];
}

/** What axe finds against WCAG 2.2 AA and its own good practice, in the page as it is now. */
async function accessibilityFaults(): Promise<string[]> {
  // Playwright's evaluation is not the page's own script, so the policy has no say in it.
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate(() =>
    (globalThis as typeof globalThis & { axe: { run(): Promise<AxeResult> } }).axe.run(),
  );
  return violations.flatMap(({ id, nodes }) =>
    nodes.map((node) => `${id}: ${node.html.slice(0, 200)} ${node.failureSummary.slice(0, 300)}`),
  );
}

/** Every page is looked at in both themes and widths, by axe and, afterwards, by people; dialogs in one. */
async function look(name: string, widths = WIDTHS): Promise<void> {
  for (const theme of THEMES) {
    await page.emulateMedia({ colorScheme: theme });
    await page.locator(`html[data-mantine-color-scheme="${theme}"]`).waitFor({ state: "attached" });
    for (const width of widths) {
      await page.setViewportSize({ width, height: 860 });
      const path = join(pictures, `${name}-${theme}-${width}.png`);
      await page.screenshot({ path, animations: "disabled" });
    }
    expect.soft(await accessibilityFaults(), `${name} in ${theme}`).toEqual([]);
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1280, height: 860 });
}

const goTo = (place: string): Promise<void> =>
  page.getByRole("navigation").getByRole("link", { name: place, exact: true }).click();
const palette = () => page.getByPlaceholder("Find a sandbox or an action");

/** By keyboard alone: opens the palette, types, and takes what it offers first. */
async function choose(typed: string, offered: string): Promise<void> {
  await page.keyboard.press("Control+k");
  await palette().and(page.locator(":focus")).waitFor();
  await page.keyboard.type(typed);
  await page.locator("[data-selected]", { hasText: offered }).waitFor();
  await page.keyboard.press("Enter");
  await palette().waitFor({ state: "detached" });
}

const button = (name: string | RegExp) => page.getByRole("button", { name, exact: true });

describe.skipIf(!canRun)("the studio", () => {
  test("the first visitor makes the administrator's account", async () => {
    await page.goto(`${server.url}/`);
    await page.getByRole("heading", { name: "Set up Insien" }).waitFor();
    await look("set-up");
    await page.getByLabel("Name").fill("Ada Lovelace");
    await page.getByLabel("Email").fill("ada@example.com");
    await page.getByRole("textbox", { name: "Password" }).fill(PASSWORD);
    await button("Create the account").click();
    await page.getByText("No sandboxes yet").waitFor();
    await look("sandboxes-empty");
  });

  test("a sandbox is created, seen to run, and its log followed", async () => {
    await button("New sandbox").first().click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Name").fill("greeter");
    await dialog
      .getByLabel("Main command")
      .fill('n=0; while :; do n=$((n+1)); echo "hello $n"; sleep 0.5; done');
    await look("create", WIDE);
    await dialog.getByRole("button", { name: "Create" }).click();
    await page.getByRole("heading", { name: "greeter" }).waitFor();
    await page.locator(".state", { hasText: "Running" }).waitFor();
    const log = page.getByRole("log");
    await log.getByText("hello 1", { exact: true }).waitFor();
    // What is printed after the page was opened comes by itself.
    await log.getByText("hello 6", { exact: true }).waitFor();
    await page.getByText("Sandbox created").waitFor();
    await page.getByRole("img", { name: /^Memory: .+ at present$/ }).waitFor();
    await look("sandbox");
  });

  test("it is found in the list, stopped, started and destroyed, each after asking", async () => {
    await goTo("Sandboxes");
    await page.getByRole("link", { name: "greeter" }).waitFor();
    await look("sandboxes");
    await page.getByLabel("Search sandboxes").fill("nothing like it");
    await page.getByText("Nothing matches").waitFor();
    await page.getByLabel("Search sandboxes").fill("GREET");
    await button("Actions for greeter").click();
    await page.getByRole("menuitem", { name: "Stop…" }).click();
    await button("Stop").click();
    await page.locator(".state", { hasText: "Stopped" }).waitFor();
    await page.getByRole("link", { name: "greeter" }).click();
    await button("Start").click();
    await page.locator(".state", { hasText: "Running" }).waitFor();
    await button("Destroy").click();
    await page.getByText("This cannot be undone").waitFor();
    await look("destroy", WIDE);
    await button("Keep it").click();
    await button("Destroy").click();
    await button("Destroy for good").click();
    await page.getByText("No sandboxes yet").waitFor();
    await using client = new SandboxClient(server.url, { apiKey: server.apiKey });
    const left = await client.listSandboxes();
    expect(left.filter(({ state }) => state === "running")).toEqual([]);
  });

  test("a key is shown once, works, and is refused once revoked", async () => {
    await goTo("API keys");
    await page.getByText("No keys yet").waitFor();
    await button("New key").first().click();
    await page.getByLabel("Name").fill("the build");
    await button("Create").click();
    const key = (await page.getByTestId("new-key").innerText()).trim();
    await look("key-made", WIDE);
    await button("I have copied it").click();
    await page.getByRole("cell", { name: "the build", exact: true }).waitFor();
    expect(await page.content()).not.toContain(key);
    await look("keys");
    await using client = new SandboxClient(server.url, { apiKey: key });
    const serve = 'require("http").createServer((_q, r) => r.end("served inside")).listen(8080)';
    const made = await client.createSandbox({
      name: "by the key",
      command: ["node", "-e", serve],
      ports: [{ internal: 8080 }],
    });
    const connected = await Sandbox.connect(made.id, { apiKey: key, apiUrl: server.url });
    await connected.ports.waitFor(8080);
    connected.disconnect();
    await goTo("Sandboxes");
    await page.getByRole("link", { name: "by the key" }).click();
    await page.locator(".state", { hasText: "Running" }).waitFor();
    // The port is nobody's but its owner's: the tab gets there by a link that the page asked for.
    const opening = page.waitForEvent("popup");
    await button("Open port 8080").click();
    await (await opening).getByText("served inside").waitFor();
    await (await opening).close();
    await look("sandbox-port", WIDE);
    await client.deleteSandbox(made.id);
    await goTo("API keys");
    await button("Revoke the build").click();
    await button("Revoke for good").click();
    await page.getByText("No keys yet").waitFor();
    await waitFor(
      () =>
        client.listSandboxes().then(
          () => false,
          () => true,
        ),
      { describe: "the revoked key to be refused" },
    );
  });

  test("everything is reached by keyboard, with the palette", async () => {
    await page.keyboard.press("Control+k");
    await look("palette", WIDE);
    await page.keyboard.press("Escape");
    await palette().waitFor({ state: "detached" });
    await choose("settings", "Go to settings");
    await page.getByRole("heading", { name: "Settings" }).waitFor();
    await choose("create a", "Create a sandbox");
    const dialog = page.getByRole("dialog", { name: "Create a sandbox" });
    await dialog.waitFor();
    await dialog.getByLabel("Name").and(page.locator(":focus")).waitFor();
    await page.keyboard.type("typed");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "typed" }).waitFor();
    await button("Destroy").focus();
    await page.keyboard.press("Enter");
    // The safe answer has the focus; the other is one step on.
    await button("Keep it").and(page.locator(":focus")).waitFor();
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByText("No sandboxes yet").waitFor();
  });

  test("the theme is the system's until one is chosen, and stays chosen", async () => {
    await button("Theme").click();
    await page.getByRole("menuitem", { name: "Dark" }).click();
    await page.locator('html[data-mantine-color-scheme="dark"]').waitFor({ state: "attached" });
    // The session outlives the reload too: it is in a cookie that no script reads.
    await page.reload();
    await page.getByText("No sandboxes yet").waitFor();
    await page.locator('html[data-mantine-color-scheme="dark"]').waitFor({ state: "attached" });
    expect(await page.evaluate("document.cookie")).toBe("");
    await button("Theme").click();
    await page.getByRole("menuitem", { name: "As the system" }).click();
    await page.locator('html[data-mantine-color-scheme="light"]').waitFor({ state: "attached" });
  });

  test("sessions end one by one, the password changes, and one signs out and in", async () => {
    const elsewhere = await fetch(`${server.url}/api/v1/auth/sign-in`, {
      method: "POST",
      headers: { "content-type": "application/json", "user-agent": "Firefox/130 (Linux)" },
      body: JSON.stringify({ email: "ada@example.com", password: PASSWORD }),
    });
    const { refresh_token: token } = (await elsewhere.json()) as { refresh_token: string };
    await goTo("Settings");
    await button("End the session on Firefox on Linux").waitFor();
    await look("settings");
    await button("End the session on Firefox on Linux").click();
    await button("End the session on Firefox on Linux").waitFor({ state: "detached" });
    const refused = await fetch(`${server.url}/api/v1/auth/refresh`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ refresh_token: token }),
    });
    expect(refused.status).toBe(401);
    await page.getByRole("textbox", { name: "Current password" }).fill(PASSWORD);
    await page.getByRole("textbox", { name: "New password" }).fill("another sentence altogether");
    await button("Change the password").click();
    await page.getByText("The password is changed").waitFor();
    await button("AL: account of Ada Lovelace").click();
    await page.getByRole("menuitem", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await look("sign-in");
    await page.goto(`${server.url}/keys`);
    await page.getByRole("heading", { name: "Sign in" }).waitFor();
    await page.getByLabel("Email").fill("ada@example.com");
    await page.getByRole("textbox", { name: "Password" }).fill(PASSWORD);
    await button("Sign in").click();
    await page.getByRole("alert").waitFor();
    await page.getByRole("textbox", { name: "Password" }).fill("another sentence altogether");
    await button("Sign in").click();
    // Where one was going, not merely in.
    await page.getByRole("heading", { name: "API keys" }).waitFor();
  });

  test("nothing was asked of elsewhere, and the policy had nothing to refuse", () => {
    expect(strayed).toEqual([]);
    expect(complaints).toEqual([]);
  });

  test("the page is strict about itself, and its assets are kept and compressed", async () => {
    const first = await fetch(`${server.url}/sandboxes`);
    const html = await first.text();
    const policy = first.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("script-src 'self';");
    expect(policy).not.toContain("unsafe");
    expect(first.headers.get("x-frame-options")).toBe("DENY");
    expect(first.headers.get("cache-control")).toBe("no-cache");
    const again = await fetch(`${server.url}/sandboxes`);
    expect(again.headers.get("content-security-policy")).not.toBe(policy);
    const path = /src="(\/assets\/[^"]+\.js)"/.exec(html)?.[1] ?? "";
    for (const encoding of ["br", "gzip"]) {
      const asset = await fetch(`${server.url}${path}`, {
        headers: { "accept-encoding": encoding },
      });
      expect(asset.headers.get("content-encoding")).toBe(encoding);
      expect(asset.headers.get("cache-control")).toContain("immutable");
      expect((await asset.text()).length).toBeGreaterThan(10_000);
    }
    const absent = await fetch(`${server.url}/assets/..%2findex.html`);
    expect(absent.status).toBe(404);
  });

  test("hosts of sandboxes never get the page", async () => {
    const { port } = new URL(server.url);
    const visit = await promisify(execFile)("curl", [
      ...["-s", "-H", `Host: 8080-abcdefghij0123456789.localhost:${port}`],
      `${server.url}/sandboxes`,
    ]);
    expect(visit.stdout).not.toContain('id="root"');
  });
});
