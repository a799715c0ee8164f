/** What a command came to, and the errors that stand for how it ended. */
import type { RpcNotice } from "@insien/protocol";
import { errorFromBody, sandboxError, type SandboxError } from "../errors.ts";

export type OutputName = "stdout" | "stderr";

/**
 * Output that was overwritten before this reader got it: bytes `from` up to, not including, `to`.
 */
export interface OutputGap {
  stream: OutputName;
  from: number;
  to: number;
}

export interface CommandResult {
  stdout: string;
  stderr: string;
  /** As a shell gives it: 128 and the signal's number when a signal ended the command. */
  exitCode: number;
  /** The signal that ended it, such as "SIGKILL". */
  signal: string | undefined;
  durationMs: number;
  processId: string;
  /** Set when there was more output than is collected; the text is then its beginning. */
  truncated: { stdoutBytes: number; stderrBytes: number } | undefined;
  /** Empty unless output was lost, which only happens while no connection could be had. */
  gaps: OutputGap[];
}

export type ExitNotice = Extract<RpcNotice, { type: "exit" }>;

/** Linux's numbers on x86-64 and arm64. */
const SIGNALS = (
  "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP " +
  "TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
).split(" ");

export const exitCodeOf = (end: { exitCode?: number; signal?: string }): number =>
  end.exitCode ?? 128 + SIGNALS.indexOf((end.signal ?? "").replace(/^SIG/, "")) + 1;

/** The error of an exit that is one (a timeout, a lost process), with the output there was. */
export function exitError(
  exit: ExitNotice,
  output: { stdout: string; stderr: string },
): SandboxError | undefined {
  if (exit.error === undefined) return undefined;
  const error = errorFromBody(exit.error);
  return sandboxError(error.code, error.message, {
    hint: error.hint,
    requestId: error.requestId,
    details: { ...error.details, ...output, durationMs: exit.durationMs },
  });
}
