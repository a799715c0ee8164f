import { expect, test } from "vitest";
import { isThisMachine } from "./connection.ts";

test.each(["http://localhost:3000", "http://127.0.0.1:3000", "http://[::1]:3000"])(
  "%s is this machine",
  (url) => {
    expect(isThisMachine(url)).toBe(true);
  },
);

test.each([
  "https://collector.example.com",
  "http://localhost.example.com:3000",
  "http://localhost@203.0.113.7/",
  "file:///etc/passwd",
  "nonsense",
])("a key is not sent to %s because a directory says so", (url) => {
  expect(isThisMachine(url)).toBe(false);
});
