import { describe, expect, test } from "vitest";
import {
  HOST_SCOPE,
  confineCookie,
  externalScope,
  linkCookie,
  pathScope,
  readCookies,
} from "./preview-cookies.ts";

const PREFIX = "/preview/abcd/80";
const path = pathScope(PREFIX, "abcd", "80");

describe("cookies that a program sets", () => {
  test.each([
    ["a=1", "a=1"],
    ["a=1; Domain=.example; Path=/x; HttpOnly", "a=1; Path=/x; HttpOnly"],
    ["a=1; DOMAIN = example", "a=1"],
    ["a=1; domain", "a=1"],
    ["insien_port=x", undefined],
    ["__Host-insien_port=x; Secure; Path=/", undefined],
    ["=insien_port=x", undefined],
    ["novalue", undefined],
    ["", undefined],
  ])("%s stays on its host: %s", (given, confined) => {
    expect(confineCookie(given, HOST_SCOPE)).toBe(confined);
  });

  test.each([
    ["a=1", `insien.80-abcd.a=1; Path=${PREFIX}/`],
    ["a=1; Path=/", `insien.80-abcd.a=1; Path=${PREFIX}/`],
    ["a=1; Path=/../..; Secure", `insien.80-abcd.a=1; Secure; Path=${PREFIX}/../..`],
    ["a=1; Path=/x; path=relative", `insien.80-abcd.a=1; Path=${PREFIX}/`],
    ["a=1; Domain=localhost; Path=/x", `insien.80-abcd.a=1; Path=${PREFIX}/x`],
  ])("%s stays under its path: %s", (given, confined) => {
    expect(confineCookie(given, path)).toBe(confined);
  });
});

describe("cookies of a visitor", () => {
  test("the program gets its own and not ours", () => {
    const read = readCookies("a=1; insien_port=t1; b=2; insien_port=t2", HOST_SCOPE);
    expect(read).toEqual({ tokens: ["t1", "t2"], program: "a=1; b=2" });
  });

  test("where hosts are shared it gets nobody else's", () => {
    const header =
      "session=api; insien.80-abcd.a=1; insien.81-abcd.a=2; insien_port=t; insien_port_99=u";
    expect(readCookies(header, path)).toEqual({ tokens: ["t"], program: "a=1" });
    expect(readCookies(header, externalScope(99))).toEqual({ tokens: ["u"], program: undefined });
    expect(readCookies(undefined, path)).toEqual({ tokens: [], program: undefined });
  });

  test("no flood of tokens is looked at", () => {
    const header = Array.from({ length: 100 }, (_, n) => `insien_port=${n}`).join("; ");
    expect(readCookies(header, HOST_SCOPE).tokens).toEqual(["0", "1", "2", "3"]);
  });
});

test("the cookie of a link is for its place alone", () => {
  const link = { token: "t", expiresAt: new Date(Date.now() + 60_500) };
  expect(linkCookie(link, path, { isSecure: false })).toBe(
    `insien_port=t; Path=${PREFIX}/; Max-Age=60; HttpOnly; SameSite=Lax`,
  );
  expect(linkCookie(link, HOST_SCOPE, { isSecure: true })).toMatch(/Path=\/;.*Secure$/);
});
