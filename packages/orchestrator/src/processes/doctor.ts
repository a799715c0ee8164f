/** Examines this machine and says what to do about what is wrong. */
import type { Check } from "../doctor/check.ts";
import { type DoctorParts, examine } from "../doctor/examine.ts";

const MARKS: Record<Check["status"], string> = { ok: "ok  ", warning: "warn", failed: "FAIL" };

/** Gives the process's exit code: 1 when something failed that a server needs. */
export async function doctor(parts: DoctorParts, flags: ReadonlySet<string>): Promise<number> {
  const checks = await examine(parts);
  const isWell = checks.every(({ status }) => status !== "failed");
  process.stdout.write(
    flags.has("json")
      ? `${JSON.stringify({ ok: isWell, checks }, undefined, 2)}\n`
      : checks.map(shown).join(""),
  );
  return isWell ? 0 : 1;
}

function shown({ name, status, found, advice }: Check): string {
  const action = advice === undefined ? "" : `        ${advice}\n`;
  return `${MARKS[status]}  ${name}: ${found}\n${action}`;
}
