import type { CLEANUP_KINDS } from "@insien/protocol";

/** Something that nobody owns any more, and the way to remove it. */
export interface Finding {
  kind: (typeof CLEANUP_KINDS)[number];
  id: string;
  /** A sentence. */
  reason: string;
  bytes?: number | undefined;
  /** Looks again before it removes anything; `false` when it is gone, or somebody's by now. */
  remove(): Promise<boolean>;
}

export interface Finder {
  kind: Finding["kind"];
  find(now: Date): Promise<Finding[]>;
}
