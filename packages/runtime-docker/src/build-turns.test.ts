import { waitFor } from "@insien/test-kit";
import { expect, test } from "vitest";
import { BuildTurns } from "./build-turns.ts";

const { signal } = new AbortController();

/** Builds that end when they are told to. */
function bench(turns: BuildTurns) {
  const started: string[] = [];
  const ends = new Map<string, () => void>();
  const begun = (names: string[]) =>
    waitFor(() => names.every((name) => ends.has(name)), { describe: `${names.join()} to begin` });
  const build = (ownerId: string, name: string, given: AbortSignal = signal) =>
    turns.run(ownerId, given, async () => {
      started.push(name);
      await new Promise<void>((resolve) => ends.set(name, resolve));
      return name;
    });
  return { started, begun, build, end: (name: string) => ends.get(name)?.() };
}

test("an owner with many builds leaves a place to others", async () => {
  const { started, begun, build, end } = bench(new BuildTurns({ atOnce: 2, perOwner: 8 }));
  const own = ["a1", "a2", "a3"].map((name) => build("a", name));
  const other = build("b", "b1");
  await begun(["a1", "b1"]);
  expect(started).toEqual(["a1", "b1"]);
  end("a1");
  await begun(["a2"]);
  expect(started).toEqual(["a1", "b1", "a2"]);
  end("b1");
  end("a2");
  await begun(["a3"]);
  end("a3");
  expect(await Promise.all([...own, other])).toEqual(["a1", "a2", "a3", "b1"]);
});

test("more of one owner's than may wait are refused, and who gives up makes room", async () => {
  const { started, begun, build, end } = bench(new BuildTurns({ atOnce: 1, perOwner: 2 }));
  const first = build("a", "a1");
  const given = new AbortController();
  const second = build("a", "a2", given.signal);
  await expect(build("a", "a3")).rejects.toMatchObject({ code: "rate_limited" });
  given.abort(new Error("given up"));
  await expect(second).rejects.toThrow("given up");
  const third = build("a", "a4");
  await begun(["a1"]);
  end("a1");
  await first;
  await begun(["a4"]);
  end("a4");
  await third;
  expect(started).toEqual(["a1", "a4"]);
});

test("a build that fails gives its place back", async () => {
  const turns = new BuildTurns({ atOnce: 1, perOwner: 2 });
  const failing = turns.run("a", signal, () => Promise.reject(new Error("broken")));
  await expect(failing).rejects.toThrow("broken");
  expect(await turns.run("a", signal, async () => "built")).toBe("built");
});
