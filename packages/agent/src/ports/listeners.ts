/** What listens on TCP inside the machine, as the kernel's own tables say. */
import { readFile, readdir, readlink } from "node:fs/promises";
import type { PortInfo } from "@insien/protocol";

const LISTEN = "0A";
/** The kernel prints addresses in words of four bytes, each in the processor's order. */
const WORD_DIGITS = 8;

interface Listener {
  port: number;
  address: string;
  inode: string;
}

function bytesOf(hex: string): number[] {
  const words = hex.match(/.{8}/g) ?? [];
  return words.flatMap((word) =>
    [6, 4, 2, 0].map((at) => Number.parseInt(word.slice(at, at + 2), 16)),
  );
}

/** "0100007F" is 127.0.0.1; longer ones are IPv6, written without its abbreviations but for "::". */
export function parseAddress(hex: string): string {
  const bytes = bytesOf(hex);
  if (hex.length === WORD_DIGITS) return bytes.join(".");
  const groups = bytes.flatMap((byte, index) =>
    index % 2 === 0 ? [((byte << 8) | (bytes[index + 1] ?? 0)).toString(16)] : [],
  );
  const text = groups.join(":");
  const longest = (text.match(/(?:^|:)0(?::0)+(?=:|$)/g) ?? []).sort(
    (a, b) => b.length - a.length,
  )[0];
  if (longest === undefined) return text;
  const start = text.indexOf(longest);
  const tail = text.slice(start + longest.length + 1);
  return `${text.slice(0, start)}::${tail}`;
}

/** The listening rows of a table such as /proc/net/tcp. */
export function parseListeners(table: string): Listener[] {
  return table
    .split("\n")
    .slice(1)
    .flatMap((line) => {
      const [, local = "", , state, , , , , , inode = ""] = line.trim().split(/\s+/);
      const [address = "", port = ""] = local.split(":");
      if (state !== LISTEN) return [];
      return [{ port: Number.parseInt(port, 16), address: parseAddress(address), inode }];
    });
}

/** Sockets among a process's descriptors; none when it ended or is not ours to look into. */
async function socketsOf(pid: string): Promise<string[]> {
  const directory = `/proc/${pid}/fd`;
  const descriptors = await readdir(directory).catch(() => []);
  const links = await Promise.all(
    descriptors.map((descriptor) => readlink(`${directory}/${descriptor}`).catch(() => "")),
  );
  return links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []);
}

/** Who holds which of the wanted sockets. Stops once all are found. */
async function findHolders(wanted: ReadonlySet<string>): Promise<Map<string, number>> {
  const holders = new Map<string, number>();
  const pids = (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name));
  for (const pid of pids) {
    if (holders.size === wanted.size) break;
    for (const inode of await socketsOf(pid)) {
      if (wanted.has(inode) && !holders.has(inode)) holders.set(inode, Number(pid));
    }
  }
  return holders;
}

async function describe(listener: Listener, holders: Map<string, number>): Promise<PortInfo> {
  const { port, address, inode } = listener;
  const pid = holders.get(inode);
  if (pid === undefined) return { port, address };
  const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => undefined);
  return { port, address, pid, ...(name === undefined ? {} : { process: name.trimEnd() }) };
}

/** By port, then address. `pid` and `process` are absent where the kernel does not tell us. */
export async function listPorts(): Promise<PortInfo[]> {
  const tables = await Promise.all(
    ["/proc/net/tcp", "/proc/net/tcp6"].map((path) => readFile(path, "utf8").catch(() => "")),
  );
  const listeners = tables.flatMap(parseListeners);
  const holders = await findHolders(new Set(listeners.map(({ inode }) => inode)));
  const ports = await Promise.all(listeners.map((listener) => describe(listener, holders)));
  return ports.sort((a, b) => a.port - b.port || (a.address < b.address ? -1 : 1));
}
