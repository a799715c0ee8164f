import { networkInterfaces } from "node:os";
import { expect, test } from "vitest";
import { registryOf } from "./image-reference.ts";
import { assertRegistry } from "./registries.ts";

test.each([
  ["debian", "docker.io"],
  ["library/debian:12", "docker.io"],
  ["debian:5000", "docker.io"],
  ["localhost/a", "localhost"],
  ["10.0.0.1/a", "10.0.0.1"],
  ["intranet:5000/a/b:1", "intranet:5000"],
  ["Intranet/a", "intranet"],
  ["ghcr.io/a/b@sha256:00", "ghcr.io"],
])("%s is pulled from %s", (reference, registry) => {
  expect(registryOf(reference)).toBe(registry);
});

const own = Object.values(networkInterfaces())
  .flatMap((list) => list ?? [])
  .filter(({ family }) => family === "IPv4")
  .map(({ address }) => `${address}:5000`);

test.each([
  "127.0.0.1:5000",
  "localhost:22",
  "10.1.2.3",
  "169.254.169.254",
  "192.168.1.1:443",
  "[::1]:5000",
  "2130706433:80",
  "0x7f.1",
  ...own,
])("nothing is pulled from %s, unless it is allowed", async (registry) => {
  const reference = `${registry}/image:1`;
  await expect(assertRegistry(reference, undefined)).rejects.toMatchObject({
    code: "image_unavailable",
  });
  await expect(assertRegistry(reference, [registry])).resolves.toBeUndefined();
});

test("where some are allowed no others are", async () => {
  await expect(assertRegistry("debian", ["registry.example.com"])).rejects.toThrow(/docker\.io/);
  await expect(assertRegistry("8.8.8.8/image", ["docker.io"])).rejects.toThrow(/none of those/);
  await expect(assertRegistry("8.8.8.8/image", undefined)).resolves.toBeUndefined();
  await expect(assertRegistry("debian", undefined)).resolves.toBeUndefined();
});
