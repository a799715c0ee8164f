import { expect, test } from "vitest";
import { createVolumeBody } from "./volumes.ts";

const nfs = (mountOptions: string) => ({
  ...{ name: "shared", driver: "nfs" },
  options: { server: "nas.example.com", path: "/export", mount_options: mountOptions },
});

test.each(["vers=4,soft", "ro,noatime", "rsize=1048576"])("%s may be asked of nfs", (options) => {
  expect(createVolumeBody.safeParse(nfs(options)).success).toBe(true);
});

test.each([
  "addr=10.0.0.1",
  "vers=4,mountaddr=10.0.0.1",
  "clientaddr=10.0.0.1",
  "bind",
  "vers=4,rbind",
  "remount",
  "move",
  "rshared",
])("%s is another kind of mount, or of another place", (options) => {
  expect(createVolumeBody.safeParse(nfs(options)).success).toBe(false);
});
