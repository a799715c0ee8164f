/** Where a page of a list ended. Opaque to its reader, and good for the same list only. */
import { createHash } from "node:crypto";
import { InsienError, isId } from "@insien/protocol";

interface Position {
  at: Date;
  id: string;
}

const CHECKSUM_LENGTH = 8;

/** `scope` says which list it is a position in: its owner and filters. */
export function encodeCursor(position: Position, scope: string): string {
  const text = `${position.at.getTime()}.${position.id}`;
  return Buffer.from(`${checksum(text, scope)}${text}`).toString("base64url");
}

/** Throws `invalid_request` for anything that `encodeCursor` did not make for this scope. */
export function decodeCursor(cursor: string, scope: string): Position {
  const decoded = Buffer.from(cursor, "base64url").toString();
  const text = decoded.slice(CHECKSUM_LENGTH);
  const [milliseconds = "", id = ""] = text.split(".");
  if (!decoded.startsWith(checksum(text, scope)) || !/^\d{1,15}$/.test(milliseconds) || !isId(id)) {
    throw new InsienError(
      "invalid_request",
      "cursor must be the next_cursor of an earlier page of this list",
      {
        details: { field: "cursor" },
      },
    );
  }
  return { at: new Date(Number(milliseconds)), id };
}

/** Not a secret: a reader who forges a cursor reads their own list from another place. */
function checksum(text: string, scope: string): string {
  return createHash("sha256").update(`${scope}\n${text}`).digest("hex").slice(0, CHECKSUM_LENGTH);
}
