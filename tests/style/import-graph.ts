import { dirname, join, normalize } from "node:path";
import type { TextFile, Violation } from "./repository.ts";

/** From a package's name to its folder under packages/. */
export type PackageFolders = ReadonlyMap<string, string>;
/** From a folder to the folders it may import. */
export type LayerTable = ReadonlyMap<string, ReadonlySet<string>>;

const SPECIFIER = /(?:\bfrom\s*|\bimport\s*\(?\s*)["']([^"'\n]+)["']/g;

export const importsOf = (text: string): string[] =>
  [...text.matchAll(SPECIFIER)].flatMap((match) => match[1] ?? []);

/**
 * Reads one table of ARCHITECTURE.md, whose first two columns are `name` and what it may import,
 * both in backticks.
 */
export function parseLayerTable(document: string, heading: string): LayerTable {
  const section = document.split(/^#+ /m).find((part) => part.startsWith(`${heading}\n`)) ?? "";
  const rows = [...section.matchAll(/^\| `([^`]+)` \| ([^|]*) \|/gm)];
  return new Map(
    rows.map(([, name = "", allowed = ""]) => [
      name,
      new Set([...allowed.matchAll(/`([^`]+)`/g)].flatMap((match) => match[1] ?? [])),
    ]),
  );
}

/** `runtime-docker` is governed by the row `runtime-*` where it has none of its own. */
function allowedFor(table: LayerTable, folder: string): ReadonlySet<string> | undefined {
  return table.get(folder) ?? table.get(folder.replace(/-.*$/, "-*"));
}

interface PackageRules {
  packages: PackageFolders;
  table: LayerTable;
  /** From the beginning of a path to what files there may import besides. */
  exceptions: ReadonlyMap<string, ReadonlySet<string>>;
}

/** Imports from one package to another that the table does not allow. */
export function packageViolations(files: readonly TextFile[], rules: PackageRules): Violation[] {
  return files.flatMap(({ path, text }) => {
    const folder = path.split("/")[1] ?? "";
    const allowed = allowedFor(rules.table, folder);
    if (allowed === undefined) return [`${path}: packages/${folder} has no row in ARCHITECTURE.md`];
    const extra = [...rules.exceptions].find(([beginning]) => path.startsWith(beginning))?.[1];
    return importsOf(text).flatMap((specifier) => {
      const target = targetPackage(path, specifier, rules.packages);
      if (target === undefined || target === folder) return [];
      if (allowed.has(target) || extra?.has(target) === true) return [];
      return [`${path} imports ${specifier}: ${folder} may import ${listed(allowed)} only`];
    });
  });
}

function targetPackage(
  path: string,
  specifier: string,
  packages: PackageFolders,
): string | undefined {
  if (specifier.startsWith(".")) return normalize(join(dirname(path), specifier)).split("/")[1];
  return packages.get(specifier.split("/").slice(0, 2).join("/"));
}

/** Imports between the folders of one package's src that the table does not allow. */
export function folderViolations(
  files: readonly TextFile[],
  source: string,
  table: LayerTable,
): Violation[] {
  return files.flatMap(({ path, text }) => {
    const folder = folderWithin(source, path);
    // Files that lie in src itself put the folders together.
    if (folder === undefined) return [];
    const allowed = table.get(folder);
    if (allowed === undefined)
      return [`${path}: ${source}/${folder} has no row in ARCHITECTURE.md`];
    return (
      importsOf(text)
        .filter((specifier) => specifier.startsWith("."))
        .map((specifier) => [specifier, normalize(join(dirname(path), specifier))] as const)
        // What lies outside is another package's, or no code at all.
        .filter(([, target]) => target.startsWith(`${source}/`))
        .flatMap(([specifier, resolved]) => {
          const target = folderWithin(source, resolved) ?? ".";
          if (target === folder || allowed.has(target)) return [];
          return [`${path} imports ${specifier}: ${folder} may import ${listed(allowed)} only`];
        })
    );
  });
}

function folderWithin(source: string, path: string): string | undefined {
  if (!path.startsWith(`${source}/`)) return undefined;
  const parts = path.slice(source.length + 1).split("/");
  return parts.length > 1 ? parts[0] : undefined;
}

const listed = (names: ReadonlySet<string>): string =>
  names.size === 0 ? "nothing" : [...names].join(", ");
