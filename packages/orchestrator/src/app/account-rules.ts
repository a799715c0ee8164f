import { InsienError } from "@insien/protocol";
import type { UserRecord } from "../db/index.ts";

/** One account for an address, however it is written. */
export const normalEmail = (email: string): string => email.normalize("NFKC").toLowerCase();

export function assertEnabled(user: UserRecord): void {
  if (user.disabled) throw new InsienError("account_disabled", "This account is disabled");
}
