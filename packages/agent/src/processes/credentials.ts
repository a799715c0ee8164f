import type { Libc } from "../native/libc.ts";
import type { Account } from "./accounts.ts";

const UNCHANGED = -1;

/**
 * Runs `act` with the user, group and further groups of an account in force on this one thread, so
 * that what it makes belongs to that account: a child that it starts, a pipe, a file. The saved user
 * id stays the agent's, which lets the thread come back and keeps others from tracing it; a program
 * that the child executes loses that too. `act` must not wait for anything.
 */
export function asAccount<Result>(libc: Libc, account: Account, act: () => Result): Result {
  const own = process.getuid?.() ?? 0;
  if (own !== 0 || (account.uid === 0 && account.gid === 0)) return act();
  const groups = process.getgroups?.() ?? [];
  try {
    const changed =
      libc.setThreadGroups(new Uint32Array([account.gid, ...account.groups])) &&
      libc.setThreadGroup(account.gid, account.gid, UNCHANGED) &&
      libc.setThreadUser(account.uid, account.uid, 0);
    if (!changed) throw new Error(`cannot become ${account.name}: error ${libc.errno()}`);
    return act();
  } finally {
    libc.setThreadUser(0, 0, 0);
    libc.setThreadGroup(process.getgid?.() ?? 0, process.getegid?.() ?? 0, UNCHANGED);
    libc.setThreadGroups(new Uint32Array(groups));
  }
}
