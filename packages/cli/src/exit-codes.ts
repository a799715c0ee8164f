/** What scripts can tell from how a command ended; `insien help` lists them. */
import {
  SandboxConnectionError,
  SandboxError,
  SandboxNotFoundError,
  SandboxTimeoutError,
  SandboxValidationError,
} from "@insien/sandbox";

export const EXIT = {
  ok: 0,
  /** It was understood and could not be done. */
  failed: 1,
  /** The command line or a value in it is wrong. */
  usage: 2,
  /** What it names does not exist. */
  notFound: 3,
  /** The server cannot be reached. */
  unreachable: 4,
  /** The key is missing, wrong, or not allowed to do this, or a quota is used up. */
  refused: 5,
  /** It took longer than it was given. */
  timeout: 124,
  /** `exec` and `shell`: Insien itself failed; other codes are the command's own. */
  ownFailure: 125,
} as const;

/** `rate_limited` is what the quota of creates per minute says. */
const REFUSALS: readonly string[] = ["unauthorized", "forbidden", "quota_exceeded", "rate_limited"];

export function exitCodeOf(error: unknown): number {
  if (!(error instanceof SandboxError)) return EXIT.failed;
  if (REFUSALS.includes(error.code)) return EXIT.refused;
  if (error instanceof SandboxNotFoundError) return EXIT.notFound;
  if (error instanceof SandboxValidationError) return EXIT.usage;
  if (error instanceof SandboxTimeoutError) return EXIT.timeout;
  if (error instanceof SandboxConnectionError) return EXIT.unreachable;
  return EXIT.failed;
}
