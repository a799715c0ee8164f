import { expect, test } from "vitest";
import { withoutNulls } from "./without-nulls.ts";

test("fields that are null are left out, those of the caller's own maps are not", () => {
  const body = {
    image: "debian",
    command: null,
    resources: { cpu: 1, gpu: null, timeout: null },
    ports: [{ internal: 80, external: null, subdomain: null }],
    volumes: { data: { mount_path: "/data", size: null } },
    environment: { A: null },
  };
  expect(withoutNulls(body)).toEqual({
    image: "debian",
    resources: { cpu: 1 },
    ports: [{ internal: 80 }],
    volumes: { data: { mount_path: "/data" } },
    environment: { A: null },
  });
});

test.each([null, undefined, "text", 3, [null], { ports: null, resources: "x", volumes: [1] }])(
  "%j is nobody's create and passes on to be refused",
  (body) => {
    expect(() => withoutNulls(body)).not.toThrow();
  },
);
