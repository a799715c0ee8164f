import { ERRORS, type ErrorCode } from "@insien/protocol/errors";
import { describe, expect, test } from "vitest";
import {
  connectionLost,
  errorFromBody,
  errorFromClose,
  errorFromText,
  SandboxError,
  sandboxError,
  SDK_ERROR_CLASSES,
} from "./errors.ts";
import * as sdk from "./index.ts";

describe("errors", () => {
  test.each(Object.keys(ERRORS) as ErrorCode[])("%s has the table's class and facts", (code) => {
    const row = ERRORS[code];
    const error = sandboxError(code, "what happened");
    expect(error.constructor).toBe(SDK_ERROR_CLASSES[row.sdkClass]);
    expect(error).toBeInstanceOf(SandboxError);
    expect(error.name).toBe(row.sdkClass);
    const { status, retryable, hint } = error;
    expect({ status, retryable, hint }).toEqual({
      status: row.status,
      retryable: row.retryable,
      hint: row.hint,
    });
  });

  test("all seven classes are exported", () => {
    expect(sdk).toMatchObject(SDK_ERROR_CLASSES);
  });

  test("a server's error body keeps its hint, details and request id", () => {
    const error = errorFromBody({
      code: "file_not_found",
      message: "there is no /a",
      hint: "look elsewhere",
      retryable: false,
      details: { path: "/a" },
      requestId: "r1",
    });
    expect(error).toBeInstanceOf(sdk.SandboxNotFoundError);
    expect(error).toMatchObject({
      message: "there is no /a",
      hint: "look elsewhere",
      details: { path: "/a" },
      requestId: "r1",
    });
  });

  test("a code this SDK does not know becomes a plain SandboxError with that code", () => {
    const error = errorFromText('{"error":{"code":"from_the_future","message":"new"}}');
    expect(error?.constructor).toBe(SandboxError);
    expect(error?.code).toBe("from_the_future");
  });

  test.each(["", "null", "[]", "<html>", '{"error":"text"}', '{"error":{"code":7}}'])(
    "%j is no error body",
    (text) => expect(errorFromText(text)).toBeUndefined(),
  );

  test("a close frame's reason is the error it names", () => {
    const reason = '{"code":"machine_lost","message":"the machine ended"}';
    expect(errorFromClose({ reason })).toMatchObject({ code: "machine_lost", retryable: false });
    expect(errorFromClose({ reason: "" })).toBeUndefined();
  });

  test("a lost connection says whether the request may have happened", () => {
    expect(connectionLost('"write"', true)).toMatchObject({
      code: "connection_lost",
      details: { mayHaveHappened: true },
    });
  });
});
