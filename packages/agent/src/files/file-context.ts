import { InsienError } from "@insien/protocol";

/** A user of the machine's /etc/passwd. */
export interface FileUser {
  uid: number;
  gid: number;
}

/** What the file capability needs to know of the machine it is in. */
export interface FileContext {
  /** Where relative paths and `~` start: the default user's home. */
  readonly home: string;
  /** A user by name or number, the default one when absent. Throws `user_not_found`. */
  resolveUser(name?: string): FileUser | Promise<FileUser>;
}

/**
 * Who shall own what is made now: `undefined` when the agent is not root, since then everything
 * belongs to the agent's own user anyway. Throws `permission_denied` when such an agent is asked
 * for another user's files.
 */
export async function ownerFor(context: FileContext, user?: string): Promise<FileUser | undefined> {
  if (process.getuid?.() === 0) return context.resolveUser(user);
  if (user === undefined) return undefined;
  const { uid } = await context.resolveUser(user);
  if (uid === process.getuid?.()) return undefined;
  throw new InsienError(
    "permission_denied",
    `files cannot be made as user ${user}: everything in this sandbox runs as one user`,
  );
}
