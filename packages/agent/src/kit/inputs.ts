/** What a kit is made of, and a hash that changes whenever a kit made from it would differ. */
import { createHash } from "node:crypto";
import { readFile, readdir, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const SOURCES = fileURLToPath(new URL("..", import.meta.url));
const PROTOCOL_SOURCES = dirname(fileURLToPath(import.meta.resolve("@insien/protocol")));

export interface KitInputs {
  node: string;
  /** By the names that they have in the kit. */
  addons: Readonly<Record<string, string>>;
  hash: string;
}

/** Raised when the layout of a kit changes. */
const LAYOUT = 1;

export async function kitInputs(): Promise<KitInputs> {
  const node = process.execPath;
  const addons = {
    "koffi.node": addonPath(
      "koffi",
      `@koromix/koffi-linux-${process.arch}`,
      `linux_${process.arch}/koffi.node`,
    ),
  };
  const hash = createHash("sha256").update(`${LAYOUT} ${process.version} ${process.arch}\n`);
  for (const file of [node, ...Object.values(addons)]) {
    const { size, mtimeMs } = await stat(file);
    hash.update(`${file} ${size} ${mtimeMs}\n`);
  }
  for (const file of [...(await sourcesIn(SOURCES)), ...(await sourcesIn(PROTOCOL_SOURCES))]) {
    hash.update(`${file}\n`).update(await readFile(file));
  }
  return { node, addons, hash: hash.digest("hex").slice(0, 20) };
}

/** The package with the binary is found from the package that depends on it. */
function addonPath(library: string, carrier: string, file: string): string {
  const fromLibrary = createRequire(require.resolve(library));
  return join(dirname(fromLibrary.resolve(`${carrier}/package.json`)), file);
}

async function sourcesIn(directory: string): Promise<string[]> {
  const names = await readdir(directory, { recursive: true });
  const sources = names.filter((name) => /\.[jt]s$/.test(name) && !/\.test\./.test(name));
  return sources.toSorted().map((name) => join(directory, name));
}
