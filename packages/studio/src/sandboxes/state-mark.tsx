import type { SandboxState } from "@insien/sandbox";
import { TONES } from "./sandbox-words.ts";

export function StateMark({ state }: { state: SandboxState }) {
  return (
    <span className="state" data-tone={TONES[state]}>
      {state.charAt(0).toUpperCase() + state.slice(1)}
    </span>
  );
}
