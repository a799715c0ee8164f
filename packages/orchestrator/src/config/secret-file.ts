import { randomBytes } from "node:crypto";
import { link, readFile, rm, writeFile } from "node:fs/promises";
import { newId } from "@insien/protocol";

const SECRET_BYTES = 32;

/**
 * The text of a file that only its owner may read. It is made when it does not exist; of two who
 * make it at once, both get the same.
 */
export async function readOrMakeSecret(path: string, prefix = ""): Promise<string> {
  const existing = await readSecret(path);
  if (existing !== undefined) return existing;
  const temporary = `${path}.${newId()}`;
  await writeFile(temporary, `${prefix}${randomBytes(SECRET_BYTES).toString("base64url")}\n`, {
    mode: 0o600,
  });
  try {
    // Unlike a rename, a link fails when the file is there: the first one stays.
    await link(temporary, path);
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
  } finally {
    await rm(temporary, { force: true });
  }
  const made = await readSecret(path);
  if (made === undefined) throw new Error(`${path} is empty: remove it, and it is made anew`);
  return made;
}

async function readSecret(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, "utf8")).trim() || undefined;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && "code" in error && error.code === code;
