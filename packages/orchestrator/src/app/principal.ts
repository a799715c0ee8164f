/** Who is asking: what authentication found out, and all that the application knows of a caller. */
export interface Principal {
  /** Of the key, or of the session of a person who signed in. */
  keyId: string;
  /** Sandboxes belong to an owner; to every other owner they do not exist. */
  ownerId: string;
  /** May manage keys. Does not see other owners' sandboxes. */
  admin: boolean;
  /** Of a person who signed in, whose account's id is the owner's; absent: a key asks. */
  sessionId?: string;
}
