/** What the page is built from, as one hash: whoever starts the server builds when it has changed. */
import { createHash } from "node:crypto";
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

// Read before anything is installed, by any Node 20.
const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");
const stampPath = join(here, "dist/.sources");
const FOLDERS = [
  "packages/studio/src",
  "packages/studio/public",
  "packages/sdk/src",
  "packages/protocol/src",
];
const FILES = [
  ...["build.mjs", "index.html", "package.json", "vite.config.ts"].map(
    (name) => `packages/studio/${name}`,
  ),
  "package-lock.json",
];

/** @param {string} folder */
const filesOf = (folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .map((name) => join(root, folder, name))
    .filter((path) => statSync(path).isFile())
    .sort();

export function sourcesHash() {
  const hash = createHash("sha256");
  for (const path of [...FOLDERS.flatMap(filesOf), ...FILES.map((file) => join(root, file))]) {
    const content = readFileSync(path);
    hash.update(`${path.slice(root.length)} ${content.length}\n`).update(content);
  }
  return hash.digest("hex");
}

export function isBuilt() {
  try {
    return readFileSync(stampPath, "utf8") === sourcesHash();
  } catch {
    return false;
  }
}

/** @param {string} hash */
export const markBuilt = (hash) => writeFileSync(stampPath, hash);
