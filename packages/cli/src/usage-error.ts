import { EXIT } from "./exit-codes.ts";

/** The command line cannot be carried out as it is; `hint` says what to write instead. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  readonly hint: string | undefined;
  readonly exitCode: number;

  constructor(message: string, hint?: string, exitCode: number = EXIT.usage) {
    super(message);
    this.hint = hint;
    this.exitCode = exitCode;
  }
}

/** What it names does not exist. */
export const missing = (message: string, hint?: string): UsageError =>
  new UsageError(message, hint, EXIT.notFound);
