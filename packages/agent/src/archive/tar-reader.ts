import { InsienError, LIMITS } from "@insien/protocol";
import type { ByteSource } from "./byte-source.ts";
import { BLOCK_BYTES, checksumOf, paddingOf } from "./tar-block.ts";

export interface TarEntry {
  name: string;
  type: "file" | "directory" | "symlink" | "link";
  mode: number;
  modified: number;
  /** Bytes of content that follow, which are to be read before the next entry. */
  size: number;
  /** What a link names. */
  target: string;
}

/** Longer than a path, since other attributes stand in the same place. */
const EXTENSION_BYTES = 64 * 1024;
const TYPES: Readonly<Record<string, TarEntry["type"]>> = {
  "\0": "file",
  "0": "file",
  "7": "file",
  "1": "link",
  "2": "symlink",
  "5": "directory",
};
const KINDS: Readonly<Record<string, string>> = {
  "3": "a device",
  "4": "a device",
  "6": "a pipe",
  S: "a sparse file",
};

const SPARSE = "GNU.sparse";
/** Other attributes are not kept, so that no tar can make us keep ever more. */
const KNOWN: ReadonlySet<string> = new Set(["path", "linkpath", "size", "mtime", SPARSE]);

/** What extensions say of the entry behind them. */
type Attributes = Map<string, string>;

const refuse = (message: string): InsienError => new InsienError("invalid_request", message);

/** Reads ustar, pax and GNU's long names. Throws `invalid_request`, naming the entry. */
export class TarReader {
  readonly #source: ByteSource;
  readonly #global: Attributes = new Map();

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** The next entry; `undefined` after the last. The one before must have been read or skipped. */
  async next(): Promise<TarEntry | undefined> {
    const attributes: Attributes = new Map();
    for (;;) {
      const block = await this.#source.read(BLOCK_BYTES, "a header");
      if (block === undefined || block.every((byte) => byte === 0)) return undefined;
      const type = String.fromCharCode(block[156] ?? 0);
      requireChecksum(block);
      const size = numberAt(block, 124, 12);
      if (type === "x" || type === "g") {
        const records = await this.#extension(size);
        for (const [key, value] of paxRecords(records)) {
          const known = key.startsWith(SPARSE) ? SPARSE : key;
          if (KNOWN.has(known)) (type === "g" ? this.#global : attributes).set(known, value);
        }
      } else if (type === "L" || type === "K") {
        const text = textOf(await this.#extension(size));
        attributes.set(type === "L" ? "path" : "linkpath", text);
      } else {
        return entryOf(block, type, new Map([...this.#global, ...attributes]));
      }
    }
  }

  /** The content of the entry that `next` gave, to be read to its end. */
  async *content({ name, size }: TarEntry): AsyncGenerator<Buffer> {
    yield* this.#source.portions(size, name);
    for await (const _padding of this.#source.portions(paddingOf(size), name));
  }

  async #extension(size: number): Promise<Buffer> {
    if (size > EXTENSION_BYTES) throw refuse(`the tar has attributes of ${size} bytes`);
    const whole = await this.#source.read(size + paddingOf(size), "an entry's attributes");
    return (whole ?? Buffer.alloc(0)).subarray(0, size);
  }
}

function requireChecksum(block: Buffer): void {
  if (numberAt(block, 148, 8) === checksumOf(block)) return;
  throw refuse(
    block[0] === 0x1f && block[1] === 0x8b
      ? "the tar is compressed with gzip: send it uncompressed"
      : "this is not a tar, or it is damaged: a header has a wrong checksum",
  );
}

function textOf(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.subarray(0, end === -1 ? bytes.length : end).toString("utf8");
}

/** Octal text; or, where the first bit is set, a big-endian number (GNU). */
function numberAt(block: Buffer, offset: number, length: number): number {
  const field = block.subarray(offset, offset + length);
  if (((field[0] ?? 0) & 0x80) === 0) {
    return Number.parseInt(field.toString("latin1").replaceAll("\0", " ").trim() || "0", 8);
  }
  let value = 0;
  for (const byte of field.subarray(1)) value = value * 256 + byte;
  return value;
}

function* paxRecords(records: Buffer): Generator<[key: string, value: string]> {
  for (let start = 0; start < records.length;) {
    const space = records.indexOf(" ", start);
    const length = Number(records.subarray(start, space).toString("latin1"));
    const record = records.subarray(space + 1, start + length - 1).toString("utf8");
    const equals = record.indexOf("=");
    const isWhole = length > space - start && start + length <= records.length;
    if (space === -1 || !Number.isSafeInteger(length) || !isWhole || equals === -1) {
      throw refuse("the tar has attributes that cannot be read");
    }
    yield [record.slice(0, equals), record.slice(equals + 1)];
    start += length;
  }
}

function entryOf(block: Buffer, flag: string, attributes: Attributes): TarEntry {
  const isUstar = block.toString("latin1", 257, 262) === "ustar";
  const prefix = isUstar ? textOf(block.subarray(345, 500)) : "";
  const short = textOf(block.subarray(0, 100));
  const name = attributes.get("path") ?? (prefix === "" ? short : `${prefix}/${short}`);
  const type = TYPES[flag];
  const shown = name.slice(0, LIMITS.recordedArgumentCharacters.value);
  const isSparse = attributes.has(SPARSE);
  if (type === undefined || isSparse) {
    const kind = isSparse ? "a sparse file" : (KINDS[flag] ?? `of the unknown kind "${flag}"`);
    throw refuse(`the tar's entry ${shown} is ${kind}, which is not taken`);
  }
  // Old tars say "directory" by a file's name alone.
  const isDirectory = type === "directory" || (type === "file" && name.endsWith("/"));
  const size = Number(attributes.get("size") ?? numberAt(block, 124, 12));
  const modified = Number(attributes.get("mtime") ?? numberAt(block, 136, 12));
  const mode = numberAt(block, 100, 8);
  if (![size, modified, mode].every(Number.isFinite) || !Number.isSafeInteger(size) || size < 0) {
    throw refuse(`the tar's entry ${shown} has a number that cannot be read`);
  }
  const target = attributes.get("linkpath") ?? textOf(block.subarray(157, 257));
  const hasContent = type === "file" && !isDirectory;
  return {
    name,
    type: isDirectory ? "directory" : type,
    mode,
    modified,
    size: hasContent ? size : 0,
    target,
  };
}
