/**
 * Goal: two installations on one Docker daemon (or one host) never touch each other's machines,
 * not when they reconcile, not when one of them crashes and comes back.
 */
import { Sandbox } from "@insien/sandbox";
import { startServer } from "@insien/test-kit";
import { describe, expect, test } from "vitest";
import { presentRuntimes } from "../runtimes.ts";

describe.each(presentRuntimes)("two servers on one %s", (runtime) => {
  test("leave each other's sandboxes alone", async () => {
    await using one = await startServer({ runtime });
    await using other = await startServer({ runtime });
    const ofOne = await Sandbox.create({ apiKey: one.apiKey, apiUrl: one.url });
    const ofOther = await Sandbox.create({ apiKey: other.apiKey, apiUrl: other.url });
    await ofOne.files.write("mine.txt", "one");
    await ofOther.files.write("mine.txt", "other");
    // A start reconciles first of all: whatever it took for nobody's would be gone after it.
    await one.restart("SIGKILL");
    await other.restart("SIGKILL");
    expect(await ofOne.files.read("mine.txt")).toBe("one");
    expect(await ofOther.files.read("mine.txt")).toBe("other");
    await one.kill("SIGTERM");
    expect(await ofOther.files.read("mine.txt")).toBe("other");
  });
});
