import { parseArgs } from "node:util";
import { InsienError } from "@insien/protocol";

/** Which of the flags that a command knows were given. Throws `invalid_request` for any other. */
export function flagsOf<Flag extends string>(
  command: string,
  args: readonly string[],
  known: readonly Flag[],
): ReadonlySet<Flag> {
  const options = Object.fromEntries(known.map((flag) => [flag, { type: "boolean" as const }]));
  try {
    const { values } = parseArgs({ args: [...args], options });
    return new Set(known.filter((flag) => values[flag] === true));
  } catch (error) {
    const all = known.map((flag) => `--${flag}`).join(", ") || "none";
    throw new InsienError(
      "invalid_request",
      `${command} takes these options: ${all}. ${error instanceof Error ? error.message : ""}`.trim(),
    );
  }
}
