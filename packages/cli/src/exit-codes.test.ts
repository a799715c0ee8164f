import {
  SandboxConnectionError,
  SandboxNotFoundError,
  SandboxOperationError,
  SandboxTimeoutError,
  SandboxValidationError,
} from "@insien/sandbox";
import { expect, test } from "vitest";
import { exitCodeOf } from "./exit-codes.ts";

test.each([
  [new SandboxOperationError("build_failed", "it failed"), 1],
  [new SandboxValidationError("invalid_request", "it failed"), 2],
  [new SandboxNotFoundError("sandbox_not_found", "it failed"), 3],
  [new SandboxConnectionError("connection_lost", "it failed"), 4],
  [new SandboxConnectionError("unauthorized", "it failed"), 5],
  [new SandboxOperationError("quota_exceeded", "it failed"), 5],
  [new SandboxOperationError("rate_limited", "it failed"), 5],
  [new SandboxTimeoutError("timeout", "it failed"), 124],
  [new Error("it failed"), 1],
])("%s ends with %i", (error, exitCode) => {
  expect(exitCodeOf(error)).toBe(exitCode);
});
