/**
 * The errors that the SDK throws. Which class a code belongs to, its status and its hint all come
 * from the protocol's one table, so `catch` blocks may look at the class or at the code.
 */
import {
  ERRORS,
  isErrorCode,
  type ErrorBody,
  type ErrorCode,
  type SdkErrorClass,
} from "@insien/protocol/errors";

export interface SandboxErrorOptions {
  details?: Record<string, unknown> | undefined;
  requestId?: string | undefined;
  /** What the server says to do next; by default the table's sentence for the code. */
  hint?: string | undefined;
  cause?: unknown;
}

/**
 * The base of everything the SDK throws, except for an `AbortSignal`'s own reason and what the system
 * says of a local file (`ENOENT` and the like).
 */
export class SandboxError extends Error {
  /** A code of the error table; servers newer than this SDK may send others. */
  readonly code: ErrorCode | (string & {});
  /** The HTTP status that goes with the code. */
  readonly status: number;
  /** What to do next, as one sentence. */
  readonly hint: string;
  /** Whether the same call may succeed later with nothing changed. */
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>>;
  /** Finds the request in the server's log. */
  readonly requestId: string | undefined;

  constructor(code: string, message: string, options: SandboxErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    const row = ERRORS[isErrorCode(code) ? code : "internal"];
    this.name = new.target.name;
    this.code = code;
    this.status = row.status;
    this.hint = options.hint ?? row.hint;
    this.retryable = row.retryable;
    this.details = options.details ?? {};
    this.requestId = options.requestId;
  }
}

/** The server, the machine or the way between them cannot be reached, or the key is refused. */
export class SandboxConnectionError extends SandboxError {}
/** Something took longer than the limit the message names. */
export class SandboxTimeoutError extends SandboxError {}
/** A sandbox, process, terminal or file that is not there. */
export class SandboxNotFoundError extends SandboxError {}
/** The sandbox understood and could not do it. */
export class SandboxOperationError extends SandboxError {}
/** An argument is wrong; the message names it. */
export class SandboxValidationError extends SandboxError {}
/** A volume could not be made, mounted or removed. */
export class SandboxVolumeError extends SandboxError {}

export const SDK_ERROR_CLASSES = {
  SandboxError,
  SandboxConnectionError,
  SandboxTimeoutError,
  SandboxNotFoundError,
  SandboxOperationError,
  SandboxValidationError,
  SandboxVolumeError,
} as const satisfies Record<SdkErrorClass, typeof SandboxError>;

/** An error of the class that the table gives the code; unknown codes make a `SandboxError`. */
export function sandboxError(
  code: string,
  message: string,
  options: SandboxErrorOptions = {},
): SandboxError {
  const className = isErrorCode(code) ? ERRORS[code].sdkClass : "SandboxError";
  return new SDK_ERROR_CLASSES[className](code, message, options);
}

/** The error that a server's error body stands for. */
export function errorFromBody(body: ErrorBody): SandboxError {
  const { details, requestId, hint } = body;
  return sandboxError(body.code, body.message, { details, requestId, hint });
}

/** `undefined` when the text is not `{ "error": { code, message } }`. */
export function errorFromText(text: string): SandboxError | undefined {
  try {
    const parsed: { error?: unknown } | null = JSON.parse(text);
    return errorFromUnknown(parsed?.error);
  } catch {
    return undefined;
  }
}

/** `undefined` when the value is no error body. */
export function errorFromUnknown(value: unknown): SandboxError | undefined {
  const body = value as Partial<ErrorBody> | null | undefined;
  if (typeof body?.code !== "string" || typeof body.message !== "string") return undefined;
  return errorFromBody(body as ErrorBody);
}

/** The reason that a server gives in a WebSocket's close frame, when it gives one. */
export function errorFromClose(close: { reason: string }): SandboxError | undefined {
  return errorFromText(`{"error":${close.reason || "null"}}`);
}

/**
 * For a request that was under way when its connection ended: `mayHaveHappened` says whether the
 * sandbox may have acted on it.
 */
export function connectionLost(
  what: string,
  mayHaveHappened: boolean,
  cause?: unknown,
): SandboxError {
  const consequence = mayHaveHappened
    ? "it may or may not have happened"
    : "it was not sent, so nothing happened";
  return sandboxError("connection_lost", `the connection was lost during ${what}; ${consequence}`, {
    details: { mayHaveHappened },
    cause,
  });
}
