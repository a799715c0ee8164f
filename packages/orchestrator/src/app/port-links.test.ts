import { newSandboxId } from "@insien/protocol";
import { expect, test } from "vitest";
import { PortLinks } from "./port-links.ts";

const links = new PortLinks("a secret of the tests alone");
const sandbox = { id: newSandboxId(), createdAt: new Date(1_700_000_000_123) };
const soon = () => new Date(Date.now() + 60_000);

test("a link opens what it was made for, on every node with the secret", () => {
  const token = links.sign(sandbox, 80, soon());
  expect(links.verify(token, sandbox, 80)).toBeInstanceOf(Date);
  expect(new PortLinks("a secret of the tests alone").verify(token, sandbox, 80)).toBeDefined();
  expect(new PortLinks("another secret of the tests").verify(token, sandbox, 80)).toBeUndefined();
});

test("and nothing else", () => {
  const token = links.sign(sandbox, 80, soon());
  expect(links.verify(token, sandbox, 81)).toBeUndefined();
  expect(links.verify(token, { ...sandbox, id: newSandboxId() }, 80)).toBeUndefined();
  // Somebody else's sandbox of later, which was given the same id.
  expect(links.verify(token, { ...sandbox, createdAt: new Date() }, 80)).toBeUndefined();
});

test("an expired one and one that was changed open nothing", () => {
  expect(links.verify(links.sign(sandbox, 80, new Date(0)), sandbox, 80)).toBeUndefined();
  const token = links.sign(sandbox, 80, soon());
  const [version = "", id = "", port = "", expiry = "", mac = ""] = token.split(".");
  const changed = [
    [version, id, port, String(Number(expiry) + 1), mac],
    [version, id, "81", expiry, mac],
    [version, id, port, expiry, `${mac.slice(0, -2)}AA`],
    [version, id, port, expiry, ""],
    ["p2", id, port, expiry, mac],
    [version, id, `0${port}`, expiry, mac],
    [version, id, port, expiry, mac, "x"],
  ];
  for (const parts of changed) {
    expect(links.verify(parts.join("."), sandbox, 80), parts.join(".")).toBeUndefined();
  }
  expect(links.verify("x".repeat(1_000_000), sandbox, 80)).toBeUndefined();
});
