import type { ControlGroups } from "./control-groups.ts";
import { findVersion1 } from "./version-1.ts";
import { findVersion2 } from "./version-2.ts";

/**
 * Whichever kind this host lets us write, or `undefined`. Hybrid hosts have both mounted, with the
 * controllers in one of them only.
 */
export async function findControlGroups(): Promise<ControlGroups | undefined> {
  return (await findVersion2()) ?? (await findVersion1());
}
