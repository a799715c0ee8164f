import type { CleanupItem } from "@insien/protocol";
import type { Principal } from "./principal.ts";

/** What keeps an installation tidy. */
export interface Maintenance {
  /** Removes what nobody owns on this node, or with `dryRun` says what that would be. Throws `forbidden` for who is no administrator. */
  cleanup(principal: Principal, options: { dryRun: boolean }): Promise<CleanupItem[]>;
}
