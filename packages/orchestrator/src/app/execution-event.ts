import { type AgentEvent, LIMITS, type SandboxId } from "@insien/protocol";
import type { NewEvent } from "../db/index.ts";
import { instant, text } from "./agent-values.ts";

export type ExecutionEvent = NewEvent & { sandboxId: SandboxId };

/** What an agent calls the numbers of a command's end, and the events do. */
const NUMBERS_OF_ENDS = [
  ["exitCode", "exit_code"],
  ["durationMs", "duration_ms"],
  ["stdoutBytes", "stdout_bytes"],
  ["stderrBytes", "stderr_bytes"],
] as const;

/**
 * What is recorded of an agent's event; `undefined` for what is not recorded. The agent is not
 * trusted: only known fields are taken, of their own type, bounded, and in characters that every
 * database stores.
 */
export function executionEvent(
  sandboxId: SandboxId,
  event: AgentEvent,
): ExecutionEvent | undefined {
  if (event.type !== "started" && event.type !== "ended") return undefined;
  const from: Record<string, unknown> = { ...event };
  const data = event.type === "started" ? startedData(from) : endedData(from);
  return { sandboxId, type: `command.${event.type}`, at: instant(from["at"]), data };
}

function startedData(from: Record<string, unknown>): Record<string, unknown> {
  const { command, background } = from;
  const words: unknown[] = Array.isArray(command) ? command : [];
  return {
    process_id: text(from["processId"]),
    command: words.slice(0, LIMITS.recordedArguments.value).map((word) => text(word)),
    cwd: text(from["cwd"], LIMITS.pathBytes.value),
    user: text(from["user"]),
    background: background === true,
  };
}

function endedData(from: Record<string, unknown>): Record<string, unknown> {
  const { signal, error } = from;
  const data: Record<string, unknown> = { process_id: text(from["processId"]) };
  for (const [name, recorded] of NUMBERS_OF_ENDS) {
    const number = from[name];
    if (typeof number === "number") data[recorded] = Math.round(number);
  }
  if (signal !== undefined) data["signal"] = text(signal);
  if (typeof error === "object" && error !== null) {
    const { code, message } = error as Record<string, unknown>;
    data["error"] = { code: text(code), message: text(message, LIMITS.pathBytes.value) };
  }
  return data;
}
