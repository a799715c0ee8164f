import { expect, test, vi } from "vitest";
import { findProgram, installMissing } from "./apt.mjs";

const absent = { name: "absent", provides: "/no/such/file", purpose: "a test" };

test("what is there is not asked for", () => {
  expect(() => installMissing([{ ...absent, provides: "sh", required: true }])).not.toThrow();
});

test("without root it says what to run", () => {
  const asUser = vi.spyOn(process, "getuid").mockReturnValue(1000);
  try {
    const command = /Only root may install packages|no apt-get/;
    expect(() => installMissing([{ ...absent, required: true }])).toThrow(command);
  } finally {
    asUser.mockRestore();
  }
});

test("programs of the administrator are found too", () => {
  expect(findProgram("sh")).toMatch(/\/sh$/);
  expect(findProgram("no-such-program")).toBeUndefined();
});
