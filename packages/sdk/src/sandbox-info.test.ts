import { expect, test } from "vitest";
import { createRequestOf } from "./sandbox-info.ts";
import { createSandboxRequest } from "./models/create-sandbox-request.ts";
import { requestOf } from "./wire/shape.ts";

test("what says how a sandbox is talked to is no setting of it", () => {
  const options = {
    apiKey: "k",
    apiUrl: "http://x",
    requestTimeoutMs: 1,
    onProgress: () => undefined,
    env: { A: "1" },
    name: "n",
  };
  expect(createRequestOf(options)).toEqual({ name: "n", environment: { A: "1" } });
});

test("a setting that there is not is refused by name, before anything is sent", () => {
  const mistaken: object = { mem: "1g" };
  const send = () => requestOf(createSandboxRequest, createRequestOf(mistaken));
  expect(send).toThrow(/mem is no field/);
  expect(() =>
    requestOf(createSandboxRequest, createRequestOf({ idle_timeout_seconds: 1 } as object)),
  ).toThrow("idle_timeout_seconds is spelled idleTimeoutSeconds here");
});
