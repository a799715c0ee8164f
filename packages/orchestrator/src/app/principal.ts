/** Who is asking: what authentication found out, and all that the application knows of a caller. */
export interface Principal {
  keyId: string;
  /** Sandboxes belong to an owner; to every other owner they do not exist. */
  ownerId: string;
  /** May manage keys. Does not see other owners' sandboxes. */
  admin: boolean;
}
