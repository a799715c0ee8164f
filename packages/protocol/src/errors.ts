/**
 * The one table of errors. Every error that leaves Insien, on any door, has a code from here; the
 * HTTP status, the SDK class and the hint follow from the code. Tests hold docs/errors.md and the
 * SDK's classes against this table.
 */
export type SdkErrorClass =
  | "SandboxError"
  | "SandboxConnectionError"
  | "SandboxTimeoutError"
  | "SandboxNotFoundError"
  | "SandboxOperationError"
  | "SandboxValidationError"
  | "SandboxVolumeError";

interface ErrorRow {
  readonly status: number;
  readonly sdkClass: SdkErrorClass;
  /** Whether the same call may succeed later with nothing changed by the caller. */
  readonly retryable: boolean;
  /** What the caller can do next, as one sentence. */
  readonly hint: string;
}

const row = (
  status: number,
  sdkClass: SdkErrorClass,
  retryable: boolean,
  hint: string,
): ErrorRow => ({ status, sdkClass, retryable, hint });

export const ERRORS = {
  // The request itself
  invalid_request: row(
    400,
    "SandboxValidationError",
    false,
    "Correct the named field and send the request again.",
  ),
  unauthorized: row(
    401,
    "SandboxConnectionError",
    false,
    "Send a valid key in the X-API-Key header (SDK: apiKey or INSIEN_API_KEY).",
  ),
  forbidden: row(403, "SandboxOperationError", false, "Use a key that is allowed to do this."),
  route_not_found: row(404, "SandboxNotFoundError", false, "See /docs for the routes there are."),
  payload_too_large: row(
    413,
    "SandboxValidationError",
    false,
    "Send less at once; files of any size go through the file upload.",
  ),
  unsupported_media_type: row(
    415,
    "SandboxValidationError",
    false,
    "Send JSON with the header Content-Type: application/json.",
  ),
  upgrade_required: row(426, "SandboxValidationError", false, "Open this address as a WebSocket."),
  rate_limited: row(
    429,
    "SandboxOperationError",
    true,
    "Wait for the seconds given in Retry-After and try again.",
  ),
  quota_exceeded: row(
    403,
    "SandboxOperationError",
    false,
    "Destroy a sandbox you no longer need or raise the quota named in the message.",
  ),

  // People
  sign_in_failed: row(
    401,
    "SandboxConnectionError",
    false,
    "Check email and password; an administrator can tell whether the account exists.",
  ),
  session_expired: row(
    401,
    "SandboxConnectionError",
    false,
    "Refresh the session, or sign in again where that is refused too.",
  ),
  provider_unavailable: row(
    502,
    "SandboxConnectionError",
    true,
    "Try again, or ask an administrator whether INSIEN_OIDC_ISSUER is right.",
  ),
  sign_up_closed: row(
    403,
    "SandboxOperationError",
    false,
    "Ask an administrator of this server for an account.",
  ),
  account_disabled: row(
    403,
    "SandboxOperationError",
    false,
    "Ask an administrator of this server.",
  ),
  account_exists: row(
    409,
    "SandboxOperationError",
    false,
    "Sign in, or use another email address.",
  ),
  account_not_found: row(404, "SandboxNotFoundError", false, "List the accounts."),

  // Sandboxes
  sandbox_not_found: row(
    404,
    "SandboxNotFoundError",
    false,
    "Check the id; a destroyed sandbox does not come back.",
  ),
  sandbox_state: row(
    409,
    "SandboxOperationError",
    false,
    "Bring the sandbox to the state the message asks for first.",
  ),
  sandbox_failed: row(
    410,
    "SandboxOperationError",
    false,
    "Create a new sandbox; the reason this one failed is in the message.",
  ),
  conflict: row(
    409,
    "SandboxOperationError",
    false,
    "Choose another name or remove the thing that holds it.",
  ),
  template_not_found: row(
    404,
    "SandboxNotFoundError",
    false,
    "Use a template that exists, or give an image instead.",
  ),
  image_unavailable: row(
    502,
    "SandboxOperationError",
    true,
    "Check the image's name and that its registry answers.",
  ),
  create_failed: row(
    500,
    "SandboxOperationError",
    true,
    "Read the reason in the message; `insien doctor` checks the runtime.",
  ),
  capability_missing: row(
    400,
    "SandboxOperationError",
    false,
    "Choose a runtime that has this capability, or leave the option out.",
  ),
  no_capacity: row(
    503,
    "SandboxOperationError",
    true,
    "Try again in a moment, or destroy sandboxes to make room.",
  ),

  build_failed: row(
    422,
    "SandboxOperationError",
    false,
    "Correct the step that the message names; `details.output` has the end of what it printed.",
  ),

  // Volumes
  volume_not_found: row(404, "SandboxVolumeError", false, "List the volumes, or create it first."),
  volume_in_use: row(
    409,
    "SandboxVolumeError",
    false,
    "Unmount it from the sandboxes that the message names first.",
  ),
  volume_exists: row(409, "SandboxVolumeError", false, "Choose another name."),
  volume_unsupported: row(
    400,
    "SandboxVolumeError",
    false,
    "Leave the option out, or choose a driver that the message names.",
  ),
  volume_failed: row(
    502,
    "SandboxVolumeError",
    true,
    "Read the driver's own words in the message; for nfs, check server, path and options.",
  ),

  // The machine and its line
  agent_unreachable: row(
    503,
    "SandboxConnectionError",
    true,
    "Try again in a moment; the machine is starting or its line is being restored.",
  ),
  machine_lost: row(
    502,
    "SandboxConnectionError",
    false,
    "The machine ended; create a new sandbox.",
  ),
  connection_lost: row(
    503,
    "SandboxConnectionError",
    true,
    "Connect again; output is kept and can be resumed at an offset.",
  ),
  invalid_answer: row(
    502,
    "SandboxConnectionError",
    false,
    "Check that apiUrl leads to an Insien server of this version, and not to a proxy's page.",
  ),
  timeout: row(504, "SandboxTimeoutError", true, "Raise timeoutMs of this call, or try again."),

  // Commands and terminals
  command_not_found: row(
    404,
    "SandboxOperationError",
    false,
    "Check the command's name and the sandbox's PATH.",
  ),
  command_timeout: row(
    408,
    "SandboxTimeoutError",
    false,
    "Raise the command's timeoutMs (0 means no limit).",
  ),
  command_failed: row(422, "SandboxOperationError", false, "Read the command's stderr."),
  process_not_found: row(
    404,
    "SandboxNotFoundError",
    false,
    "List the processes; ended ones are kept only for a while.",
  ),
  terminal_not_found: row(
    404,
    "SandboxNotFoundError",
    false,
    "List the terminals, or open a new one.",
  ),
  stdin_closed: row(
    409,
    "SandboxOperationError",
    false,
    "Start the command with stdin open to be able to write to it.",
  ),
  user_not_found: row(
    400,
    "SandboxValidationError",
    false,
    "Name a user of the sandbox's /etc/passwd, or a number.",
  ),
  limit_reached: row(
    429,
    "SandboxOperationError",
    true,
    "Close some of the things the message counts.",
  ),

  // Files
  file_not_found: row(
    404,
    "SandboxNotFoundError",
    false,
    "Check the path; relative paths start at the sandbox's home.",
  ),
  file_exists: row(
    409,
    "SandboxOperationError",
    false,
    "Remove the target first, or allow overwriting.",
  ),
  is_a_directory: row(
    400,
    "SandboxOperationError",
    false,
    "Name a file, or use the directory call.",
  ),
  not_a_directory: row(
    400,
    "SandboxOperationError",
    false,
    "Name a directory, or use the file call.",
  ),
  not_a_file: row(
    400,
    "SandboxOperationError",
    false,
    "Name a regular file; devices, pipes and sockets are for commands.",
  ),
  directory_not_empty: row(409, "SandboxOperationError", false, "Remove recursively."),
  no_space: row(
    507,
    "SandboxOperationError",
    false,
    "Remove files in the sandbox, or create it with a larger disk.",
  ),
  permission_denied: row(403, "SandboxOperationError", false, "Use another path or another user."),
  too_many_links: row(
    400,
    "SandboxOperationError",
    false,
    "The path loops through symbolic links; name the real file.",
  ),
  invalid_path: row(
    400,
    "SandboxValidationError",
    false,
    "A path is non-empty text without NUL bytes.",
  ),
  range_not_satisfiable: row(
    416,
    "SandboxValidationError",
    false,
    "Ask for a range inside the file's size.",
  ),

  // Ports
  port_not_listening: row(
    502,
    "SandboxOperationError",
    true,
    "Start the program that listens on this port in the sandbox, then try again.",
  ),

  port_silent: row(
    504,
    "SandboxTimeoutError",
    true,
    "The program took the request and said nothing; look at what it prints.",
  ),
  port_answer_invalid: row(
    502,
    "SandboxOperationError",
    false,
    "The program's answer is no valid HTTP; a port that speaks something else is reached as tcp.",
  ),
  port_not_found: row(404, "SandboxNotFoundError", false, "List the sandbox's ports."),
  port_link_invalid: row(
    401,
    "SandboxConnectionError",
    false,
    "Ask the owner of the sandbox for a new link, or send a key in X-API-Key.",
  ),

  webhook_not_found: row(404, "SandboxNotFoundError", false, "List the webhooks."),
  delivery_not_found: row(
    404,
    "SandboxNotFoundError",
    false,
    "List the webhook's deliveries; finished ones are kept for a week.",
  ),

  // The server's own parts
  database_unavailable: row(
    503,
    "SandboxOperationError",
    true,
    "Try again in a moment; the server reconnects to its database by itself.",
  ),

  internal: row(
    500,
    "SandboxError",
    true,
    "This is a defect in Insien; the server's log has the details under the request id.",
  ),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

/** What is sent: `{ error: ErrorBody }` over REST, `{ id?, type: "error", error: ErrorBody }` over RPC. */
export interface ErrorBody {
  code: ErrorCode;
  /** What happened, naming the thing it happened to. Never holds a secret. */
  message: string;
  /** What to do next. */
  hint: string;
  retryable: boolean;
  /** Facts a program may want: the field, the limit, the offset. */
  details?: Record<string, unknown>;
  requestId?: string;
}

/** The error every layer throws; doors turn it into their own form as their last step. */
export class InsienError extends Error {
  override readonly name = "InsienError";
  readonly code: ErrorCode;
  readonly details: Record<string, unknown> | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    options: { details?: Record<string, unknown>; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.details = options.details;
  }

  get status(): number {
    return ERRORS[this.code].status;
  }

  toBody(requestId?: string): ErrorBody {
    return {
      code: this.code,
      message: this.message,
      hint: ERRORS[this.code].hint,
      retryable: ERRORS[this.code].retryable,
      ...(this.details === undefined ? {} : { details: this.details }),
      ...(requestId === undefined ? {} : { requestId }),
    };
  }
}

export const isErrorCode = (value: unknown): value is ErrorCode =>
  typeof value === "string" && Object.hasOwn(ERRORS, value);
