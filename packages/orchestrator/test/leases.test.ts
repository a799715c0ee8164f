import { newId } from "@insien/protocol";
import { waitFor } from "@insien/test-kit";
import { pino } from "pino";
import { beforeAll, describe, expect, test } from "vitest";
import { Duty } from "../src/app/duty.ts";
import type { Database, LeaseRows } from "../src/db/index.ts";
import { DATABASES, openForTests } from "./database.fixture.ts";

const log = pino({ level: "silent" });
const LONG_MS = 60_000;

describe.for(DATABASES.filter(({ present }) => present))("leases on $kind", ({ prepare }) => {
  let database: Database;
  let leases: LeaseRows;
  beforeAll(async () => {
    database = await openForTests(await prepare());
    ({ leases } = database);
  });

  test("go to one of those who ask at once, and stay with it", async () => {
    const name = newId();
    const asked = Array.from({ length: 8 }, (_, number) => `holder ${number}`);
    const answers = await Promise.all(asked.map((holder) => leases.acquire(name, holder, LONG_MS)));
    expect(answers.filter(Boolean)).toHaveLength(1);
    const holder = asked[answers.indexOf(true)] ?? "";
    expect(await leases.holder(name)).toBe(holder);
    expect(await leases.acquire(name, "a late one", LONG_MS)).toBe(false);
    expect(await leases.acquire(name, holder, LONG_MS)).toBe(true);
  });

  test("end by themselves, and then are anybody's", async () => {
    const name = newId();
    expect(await leases.acquire(name, "gone", 300)).toBe(true);
    expect(await leases.acquire(name, "next", LONG_MS)).toBe(false);
    await waitFor(() => leases.acquire(name, "next", LONG_MS), { describe: "the lease to end" });
    expect(await leases.acquire(name, "gone", LONG_MS)).toBe(false);
    expect(await leases.holder(name)).toBe("next");
  });

  test("are given back by their holder alone", async () => {
    const name = newId();
    await leases.acquire(name, "holder", LONG_MS);
    expect(await leases.release(name, "somebody else")).toBe(false);
    expect(await leases.release(name, "holder")).toBe(true);
    expect(await leases.holder(name)).toBeUndefined();
    expect(await leases.acquire(name, "next", LONG_MS)).toBe(true);
  });

  describe("a duty", () => {
    const dutyOf = (name: string, holder: string, round: (signal: AbortSignal) => Promise<void>) =>
      new Duty({ name, holder, leases, everyMs: 20, leaseMs: 600, round, log });

    test("is done by one, and by the next when that one stops", async () => {
      const name = newId();
      const rounds = { first: 0, second: 0 };
      const first = dutyOf(name, "first", async () => void (rounds.first += 1));
      await waitFor(() => rounds.first > 3, { describe: "rounds of the first" });
      await using second = dutyOf(name, "second", async () => void (rounds.second += 1));
      const before = rounds.first;
      await waitFor(() => rounds.first > before + 40, { describe: "many more rounds" });
      expect(rounds.second).toBe(0);
      await first[Symbol.asyncDispose]();
      const last = rounds.first;
      await waitFor(() => rounds.second > 3, { describe: "rounds of the second" });
      expect(second.isOurs).toBe(true);
      expect(rounds.first).toBe(last);
    });

    test("goes over from one that is gone without a word", async () => {
      const name = newId();
      await leases.acquire(name, "killed", 500);
      let rounds = 0;
      await using _heir = dutyOf(name, "heir", async () => void (rounds += 1));
      expect(rounds).toBe(0);
      await waitFor(() => rounds > 0, { describe: "a round of the heir" });
      expect(await leases.holder(name)).toBe("heir");
    });

    test("ends its round when it becomes another's", async () => {
      const name = newId();
      let aborted = false;
      const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
      await using _duty = dutyOf(name, "slow", async (signal) => {
        begin();
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
        aborted = true;
      });
      await begun;
      await leases.release(name, "slow");
      await leases.acquire(name, "usurper", LONG_MS);
      await waitFor(() => aborted, { describe: "the round to be ended" });
    });

    test("has no two rounds at once", async () => {
      let atOnce = 0;
      let most = 0;
      let rounds = 0;
      await using _duty = dutyOf(newId(), "one", async () => {
        atOnce += 1;
        most = Math.max(most, atOnce);
        await new Promise((resolve) => setTimeout(resolve, 70)); // slow: longer than the interval
        atOnce -= 1;
        rounds += 1;
      });
      await waitFor(() => rounds > 4, { describe: "five slow rounds" });
      expect(most).toBe(1);
    });

    test("goes on after a round that failed", async () => {
      let rounds = 0;
      await using _duty = dutyOf(newId(), "one", () => {
        rounds += 1;
        return Promise.reject(new Error("this round fails"));
      });
      await waitFor(() => rounds > 2, { describe: "further rounds" });
    });
  });
});
