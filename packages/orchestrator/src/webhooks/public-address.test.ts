import { expect, test } from "vitest";
import {
  UnreachableAddress,
  isPublicAddress,
  lookupPublic,
  namesInside,
} from "./public-address.ts";

test.each([
  "0.0.0.0",
  "10.1.2.3",
  "100.64.0.1",
  "127.0.0.1",
  "127.255.255.254",
  "169.254.169.254",
  "172.16.0.1",
  "172.31.255.255",
  "192.168.1.1",
  "198.18.0.1",
  "224.0.0.1",
  "255.255.255.255",
  "::",
  "::1",
  "::ffff:127.0.0.1",
  "::ffff:8.8.8.8",
  "64:ff9b::7f00:1",
  "fc00::1",
  "fd00:ec2::254",
  "fe80::1",
  "ff02::1",
  "2001:db8::1",
  "2002:7f00:1::",
  "no address",
])("%s is not public", (address) => {
  expect(isPublicAddress(address)).toBe(false);
});

test.each(["1.1.1.1", "8.8.8.8", "172.15.255.255", "172.32.0.1", "100.128.0.1", "2606:4700::1111"])(
  "%s is public",
  (address) => {
    expect(isPublicAddress(address)).toBe(true);
  },
);

test.each([true, false])("a name of this host is not found (all: %s)", async (all) => {
  const error = await new Promise((resolve) => {
    lookupPublic("localhost", { all }, (problem) => resolve(problem));
  });
  expect(error).toBeInstanceOf(UnreachableAddress);
});

test("an address of this host is not public to its webhooks", () => {
  expect(isPublicAddress("8.8.8.8", ["8.8.8.8"])).toBe(false);
  expect(isPublicAddress("2606:4700::1111", ["2606:4700::1111"])).toBe(false);
});

test.each([
  "http://127.0.0.1:9",
  "http://[::1]/",
  "http://169.254.169.254/latest",
  "https://localhost/hook",
  "https://db.internal:8443",
  "http://0x7f000001/",
])("%s can be seen to lead inside", (url) => {
  expect(namesInside(url)).toBe(true);
});

test.each(["https://example.com", "https://1.1.1.1", "https://localhost.example.com"])(
  "%s can not",
  (url) => {
    expect(namesInside(url)).toBe(false);
  },
);
