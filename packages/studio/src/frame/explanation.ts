/** Errors in the words that people are shown. */
import { notifications } from "@mantine/notifications";
import { SandboxError } from "@insien/sandbox";

/** Of a message. */
const CLOSE = { "aria-label": "Close" };

export interface Explanation {
  message: string;
  /** What to do next. */
  hint?: string | undefined;
}

const sentence = (text: string): string => {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(begun) ? begun : `${begun}.`;
};

export function explain(error: unknown): Explanation {
  if (error instanceof SandboxError)
    return { message: sentence(error.message), hint: error.hint && sentence(error.hint) };
  return { message: error instanceof Error ? sentence(error.message) : "Something went wrong." };
}

export function tellFailure(title: string, error: unknown): void {
  const { message, hint } = explain(error);
  notifications.show({
    color: "red.8",
    title,
    message: hint === undefined ? message : `${message} ${hint}`,
    autoClose: 12_000,
    role: "alert",
    closeButtonProps: CLOSE,
  });
}

export const tellDone = (message: string): void =>
  void notifications.show({ message, color: "green.8", role: "status", closeButtonProps: CLOSE });
