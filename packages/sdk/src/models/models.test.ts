import {
  createSandboxBody,
  portConfig as portConfigBody,
  resourceConfig as resourceConfigBody,
  volumeConfig as volumeConfigBody,
} from "@insien/protocol";
import { describe, expect, test } from "vitest";
import { SandboxValidationError } from "../errors.ts";
import { requestOf, type Shape } from "../wire/shape.ts";
import { createSandboxRequest, parseCreateSandboxRequest } from "./create-sandbox-request.ts";
import { parsePortConfig, portConfig } from "./port-config.ts";
import { parseResourceConfig, resourceConfig } from "./resource-config.ts";
import { parseVolumeConfig, volumeConfig } from "./volume-config.ts";

/** What this package sends for the value, or `undefined` where it refuses to. */
function sent(shape: Shape<unknown>, value: unknown): unknown {
  try {
    return JSON.parse(JSON.stringify(requestOf(shape, value)));
  } catch (error) {
    expect(error).toBeInstanceOf(SandboxValidationError);
    return undefined;
  }
}

const good = [
  [createSandboxRequest, createSandboxBody, {}],
  [
    createSandboxRequest,
    createSandboxBody,
    {
      image: "python:3.9",
      command: "python app.py",
      entrypoint: ["/bin/sh", "-c"],
      environment: { A_b: "c" },
      ports: [{ internal: 8080, protocol: "http", subdomain: "my-app", public: true }],
      resources: { cpu: 0.1, memory: "1g", gpu: "all", timeout: 60, maxRetries: 3, pids: 64 },
      volumes: { data: { mountPath: "/data", readOnly: true, type: "network" } },
      forceBuild: true,
      readOnly: true,
      name: "n",
      metadata: { a: "b" },
      network: "internet",
      idleTimeoutSeconds: 60,
    },
  ],
  [
    createSandboxRequest,
    createSandboxBody,
    { buildContext: { Dockerfile: "FROM scratch", "a/b": { base64: "AA==" } }, forceBuild: false },
  ],
  [resourceConfig, resourceConfigBody, { cpu: 8, memory: "64g" }],
  [portConfig, portConfigBody, { internal: 65_535, external: 1, protocol: "tcp", public: true }],
  [volumeConfig, volumeConfigBody, { mountPath: "/data", size: "1g" }],
] as const;

const bad = [
  [resourceConfig, resourceConfigBody, { cpu: 0.05 }],
  [resourceConfig, resourceConfigBody, { cpu: 8.1 }],
  [resourceConfig, resourceConfigBody, { cpu: "1" }],
  [resourceConfig, resourceConfigBody, { memory: "lots" }],
  [resourceConfig, resourceConfigBody, { memory: "1m" }],
  [resourceConfig, resourceConfigBody, { gpu: "" }],
  [resourceConfig, resourceConfigBody, { timeout: -1 }],
  [resourceConfig, resourceConfigBody, { maxRetries: -1 }],
  [resourceConfig, resourceConfigBody, { maxRetries: 0.5 }],
  [portConfig, portConfigBody, {}],
  [portConfig, portConfigBody, { internal: 0 }],
  [portConfig, portConfigBody, { internal: 65_536 }],
  [portConfig, portConfigBody, { internal: 1, external: 70_000 }],
  [portConfig, portConfigBody, { internal: 1, protocol: "udp" }],
  [portConfig, portConfigBody, { internal: 1, subdomain: "-a" }],
  [portConfig, portConfigBody, { internal: 1, subdomain: "8080-abc" }],
  [portConfig, portConfigBody, { internal: 1, protocol: "tcp", subdomain: "a" }],
  [portConfig, portConfigBody, { internal: 1, external: 2, protocol: "tcp" }],
  [volumeConfig, volumeConfigBody, { mountPath: "/data", type: "network", size: "1g" }],
  [volumeConfig, volumeConfigBody, { mountPath: "data" }],
  [volumeConfig, volumeConfigBody, { mountPath: "/data/../etc" }],
  [volumeConfig, volumeConfigBody, { mountPath: "/data", size: "huge" }],
  [createSandboxRequest, createSandboxBody, { image: "" }],
  [createSandboxRequest, createSandboxBody, { image: "a", template: "base" }],
  [createSandboxRequest, createSandboxBody, { command: [] }],
  [createSandboxRequest, createSandboxBody, { environment: { "a-b": "c" } }],
  [createSandboxRequest, createSandboxBody, { buildContext: { "app.py": "" } }],
  [createSandboxRequest, createSandboxBody, { volumes: { Data: { mountPath: "/data" } } }],
  [createSandboxRequest, createSandboxBody, { ports: [{ internal: 1 }, { internal: 1 }] }],
  [createSandboxRequest, createSandboxBody, { network: "host" }],
  [createSandboxRequest, createSandboxBody, { ttlSeconds: -1 }],
] as const;

const camelToSnake = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value).replaceAll(
      /"(mountPath|readOnly|maxRetries|forceBuild|buildContext|ttlSeconds|idleTimeoutSeconds)":/g,
      (name) => name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    ),
  );

describe("models", () => {
  test.each(good)("%# is sent as the server's own schema takes it", (shape, body, value) => {
    const wire = sent(shape, value);
    expect(wire).toEqual(camelToSnake(value));
    expect(body.safeParse(wire)).toMatchObject({ success: true });
  });

  test.each(bad)("%# is refused here as it would be there", (shape, body, value) => {
    expect(sent(shape, value)).toBeUndefined();
    expect(body.safeParse(camelToSnake(value)).success).toBe(false);
  });

  test("parsers fill in the defaults of the models", () => {
    expect(parseResourceConfig({})).toMatchObject({ cpu: 1, memory: "512m" });
    expect(parsePortConfig({ internal: 80 })).toMatchObject({ protocol: "http" });
    expect(parseVolumeConfig({ mountPath: "/d" })).toMatchObject({ type: "local" });
    const request = parseCreateSandboxRequest({
      image: "a",
      resources: { cpu: 2 },
      ports: [{ internal: 1 }],
    });
    expect(request).toMatchObject({
      forceBuild: false,
      resources: { cpu: 2, memory: "512m" },
      ports: [{ internal: 1, protocol: "http" }],
    });
    expect(request.resources?.maxRetries).toBeUndefined();
  });

  test("a field in the wire's spelling is refused with the name that was meant", () => {
    expect(() => parseCreateSandboxRequest({ force_build: true })).toThrow(
      "force_build is spelled forceBuild here",
    );
    expect(() => parseCreateSandboxRequest({ resources: { max_retries: 1 } })).toThrow(
      "resources.max_retries is spelled maxRetries here",
    );
  });
});
