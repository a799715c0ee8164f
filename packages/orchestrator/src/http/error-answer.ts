import { type ErrorBody, InsienError } from "@insien/protocol";

interface FrameworkError {
  code: string;
  statusCode: number;
  message: string;
}

const isFrameworkError = (error: unknown): error is FrameworkError =>
  error instanceof Error &&
  "code" in error &&
  String(error.code).startsWith("FST_") &&
  "statusCode" in error &&
  typeof error.statusCode === "number";

/** Whatever was thrown, as an error of the table. A defect keeps its cause for the log only. */
export function asInsienError(error: unknown): InsienError {
  if (error instanceof InsienError) return error;
  if (isFrameworkError(error)) return fromFramework(error);
  return new InsienError("internal", "Something went wrong that should not have", { cause: error });
}

function fromFramework(error: FrameworkError): InsienError {
  const options = { cause: error };
  switch (error.code) {
    case "FST_ERR_CTP_BODY_TOO_LARGE":
      return new InsienError(
        "payload_too_large",
        "The request's body is larger than is allowed",
        options,
      );
    case "FST_ERR_CTP_INVALID_MEDIA_TYPE":
      return new InsienError(
        "unsupported_media_type",
        "The body's Content-Type is not application/json",
        options,
      );
    case "FST_ERR_CTP_INVALID_JSON_BODY":
      return new InsienError("invalid_request", "The body is not valid JSON", options);
  }
  if (error.statusCode < 500) return new InsienError("invalid_request", error.message, options);
  return new InsienError("internal", "Something went wrong that should not have", options);
}

export interface ErrorAnswer {
  status: number;
  headers: Record<string, string>;
  body: { error: ErrorBody };
}

/** The answer that every door gives for an error, before it is written in the door's own way. */
export function errorAnswerOf(error: InsienError, requestId: string): ErrorAnswer {
  const headers: Record<string, string> = {};
  const retryAfter = error.details?.["retryAfterSeconds"];
  if (typeof retryAfter === "number") headers["retry-after"] = String(retryAfter);
  if (error.code === "unauthorized") headers["www-authenticate"] = 'Bearer realm="insien"';
  if (error.code === "upgrade_required") headers["upgrade"] = "websocket";
  return { status: error.status, headers, body: { error: error.toBody(requestId) } };
}
