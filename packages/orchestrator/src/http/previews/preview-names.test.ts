import { describe, expect, test } from "vitest";
import { PreviewNames, hostnameOf, parsePreviewPath, portAddress } from "./preview-names.ts";

const names = new PreviewNames({
  domain: "box.example",
  publicUrl: "https://api.box.example",
  nodeUrl: "http://10.0.0.5:3000",
});
const ID = "abcdefghij0123456789";

describe("a host name", () => {
  test.each([
    [`8080-${ID}.box.example`, { sandboxId: ID, port: 8080 }],
    [`8080-${ID}.BOX.example.:3000`, { sandboxId: ID, port: 8080 }],
    ["shop.box.example", { subdomain: "shop" }],
    [`0-${ID}.box.example`, undefined],
    [`08080-${ID}.box.example`, undefined],
    [`65536-${ID}.box.example`, undefined],
    ["a.b.box.example", undefined],
    ["-a.box.example", undefined],
  ])("%s leads to %j", (host, address) => {
    expect(names.isPreview(host)).toBe(true);
    expect(names.addressOf(host)).toEqual(address);
  });

  test.each([
    "box.example",
    "api.box.example",
    "API.box.example:443",
    "10.0.0.5:3000",
    "box.example.evil.example",
    "evilbox.example",
    `8080-${ID}.box.example@evil.example`,
    `8080-${ID}.box.example/x`,
    "",
    undefined,
  ])("%s belongs to no sandbox", (host) => {
    expect(names.isPreview(host)).toBe(false);
  });

  test("the server's own cannot be taken", () => {
    expect(names.reservedSubdomains).toContain("api");
    const plain = new PreviewNames({
      domain: "a.example",
      publicUrl: undefined,
      nodeUrl: undefined,
    });
    const trusted = ["www", "api", "app", "admin", "login", "auth", "mail", "localhost", "insien"];
    expect([...plain.reservedSubdomains]).toEqual(trusted);
  });

  test("that was made to lead here is not known", () => {
    const known = ["127.0.0.1:3000", "[::1]:3000", "localhost", "api.box.example", "a.box.example"];
    for (const host of known) expect(names.isKnown(host), host).toBe(true);
    for (const host of ["evil.example", "127.0.0.1.evil.example", undefined]) {
      expect(names.isKnown(host), host).toBe(false);
    }
  });
});

test("hosts are read as hosts", () => {
  expect(hostnameOf("A.Example:80")).toBe("a.example");
  for (const host of ["a b", "a:b:c", "user@a", "a/b", "a?b", "a#b", ""]) {
    expect(hostnameOf(host), host).toBeUndefined();
  }
});

test("paths are taken apart as they are written", () => {
  expect(parsePreviewPath("/preview/ab/80/x//y?z=/preview/")).toMatchObject({
    ...{ prefix: "/preview/ab/80", id: "ab", port: "80", rest: "/x//y?z=/preview/" },
  });
  expect(parsePreviewPath("/preview/ab/80?q")?.rest).toBe("?q");
  expect(parsePreviewPath("/preview/ab")).toBeUndefined();
  expect(portAddress("../api", "80")).toBeUndefined();
  expect(portAddress(ID, "1e3")).toBeUndefined();
});
