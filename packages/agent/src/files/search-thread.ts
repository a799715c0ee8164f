/**
 * Runs in a thread of its own, which is ended from outside when a pattern takes too long. Its text
 * is carried as it stands (search-source.ts), so it imports nothing but Node's own modules.
 */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  readdirSync,
  statfsSync,
} from "node:fs";
import { basename, join, matchesGlob, relative } from "node:path";
import { parentPort, workerData } from "node:worker_threads";

export interface SearchOrder {
  root: string;
  pattern: string;
  isRegex: boolean;
  ignoreCase: boolean;
  glob: string | undefined;
  /** Matches after which the search ends. */
  limit: number;
  fileBytes: number;
  lineCharacters: number;
  /** A directory that is never entered. */
  hidden: string;
}

interface Match {
  path: string;
  line: number;
  column: number;
  text: string;
}

const order = workerData as SearchOrder;
/** Text has no NUL; one among the first bytes marks everything else. */
const BINARY_PROBE_BYTES = 8192;
/** proc, sysfs: not files that anybody wrote, and reading some of them has effects. */
const KERNEL_FILE_SYSTEMS = new Set([0x9fa0, 0x62656572]);

const source = order.isRegex
  ? order.pattern
  : order.pattern.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
const pattern = new RegExp(source, order.ignoreCase ? "i" : "");
let found = 0;

function readText(path: string): string | undefined {
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch {
    return undefined;
  }
  try {
    const stats = fstatSync(descriptor);
    if (!stats.isFile() || stats.size === 0 || stats.size > order.fileBytes) return undefined;
    const content = Buffer.allocUnsafe(stats.size);
    const bytes = content.subarray(0, readSync(descriptor, content));
    return bytes.subarray(0, BINARY_PROBE_BYTES).includes(0) ? undefined : bytes.toString();
  } catch {
    return undefined;
  } finally {
    closeSync(descriptor);
  }
}

function searchFile(path: string): void {
  const name = order.glob?.includes("/") ? relative(order.root, path) : basename(path);
  if (order.glob !== undefined && !matchesGlob(name, order.glob)) return;
  const text = readText(path);
  if (text === undefined) return;
  const isHopeless = !order.isRegex && !order.ignoreCase && !text.includes(order.pattern);
  if (isHopeless) return;
  const matches: Match[] = [];
  for (const [index, line] of text.split("\n").entries()) {
    const match = pattern.exec(line);
    if (match === null) continue;
    const shown = line.replace(/\r$/, "").slice(0, order.lineCharacters);
    matches.push({ path, line: index + 1, column: match.index + 1, text: shown });
    found += 1;
    if (found > order.limit) break;
  }
  if (matches.length > 0) parentPort?.postMessage(matches);
}

/** The directory's device when it is to be searched; another one than its parent's is looked at first. */
function deviceEntered(path: string, parentDevice: number | undefined): number | undefined {
  if (path === order.hidden) return undefined;
  try {
    const { dev } = lstatSync(path);
    if (dev === parentDevice) return dev;
    return KERNEL_FILE_SYSTEMS.has(statfsSync(path).type) ? undefined : dev;
  } catch {
    return undefined;
  }
}

function searchDirectory(path: string, parentDevice: number | undefined): void {
  const device = deviceEntered(path, parentDevice);
  if (device === undefined) return;
  let entries;
  try {
    entries = readdirSync(path, { withFileTypes: true });
  } catch {
    return;
  }
  entries.sort((left, right) => (left.name < right.name ? -1 : 1));
  for (const entry of entries) {
    if (found > order.limit) return;
    if (entry.isDirectory()) searchDirectory(join(path, entry.name), device);
    else if (entry.isFile()) searchFile(join(path, entry.name));
  }
}

if (lstatSync(order.root).isDirectory()) searchDirectory(order.root, undefined);
else searchFile(order.root);
