/**
 * Zip as PKWARE's APPNOTE has it, with ZIP64 where a number needs it and Info-ZIP's Unix times and
 * modes. Nothing is compressed: an export is as fast as the line. Small files are stored with their
 * checksum before them. A large one is read once, so its checksum and length come after it; it goes
 * as a deflate stream of stored blocks, which says itself where it ends: whatever the file does
 * meanwhile, the archive is valid and holds what was read.
 */
import { isUtf8 } from "node:buffer";
import { crc32 } from "node:zlib";
import { InsienError, LIMITS } from "@insien/protocol";
import type { ArchiveEntry, ArchiveWriter } from "./archive-entry.ts";
import type { ArchiveSink } from "./archive-sink.ts";
import { FilePump } from "./file-pump.ts";

const FULL_32 = 0xffffffff;
const FULL_16 = 0xffff;
/** A length of this share of the most that 32 bits hold may pass them with its block headers. */
const LARGE_SHARE = 15 / 16;
/** The directory's records are joined to pieces of this size: an object for each would double it. */
const DIRECTORY_PIECE_BYTES = 64 * 1024;
const STORED = 0;
const DEFLATED = 8;
const FLAG_LENGTHS_AFTER = 0x0008;
const FLAG_UTF8 = 0x0800;
const VERSION = 20;
const VERSION_64 = 45;
const MADE_BY_UNIX = 3 << 8;
const MSDOS_DIRECTORY = 0x10;
const BLOCK_BYTES = 65535;
const BLOCK_HEADER_BYTES = 5;
const LAST_BLOCK = Buffer.from([1, 0, 0, 0xff, 0xff]);
const FILE_TYPES = { file: 0o100000, directory: 0o040000, symlink: 0o120000 };

interface Written {
  flags: number;
  method: number;
  crc: number;
  packed: number;
  size: number;
  offset: number;
}

export interface ZipWriterOptions {
  /** The least number that is written in 64 bits; 2^32 - 1, the greatest that the format allows, by default. */
  wideFrom?: number;
}

export class ZipWriter implements ArchiveWriter {
  readonly #sink: ArchiveSink;
  readonly #wideFrom: number;
  readonly #directory: Buffer[] = [];
  #recent: Buffer[] = [];
  #recentBytes = 0;
  #directoryBytes = 0;
  #entries = 0;
  #crc = 0;
  readonly #pump = new FilePump({
    blockBytes: BLOCK_BYTES,
    gapBytes: BLOCK_HEADER_BYTES,
    blocks: 16,
    seal: (gap, block) => this.#sealBlock(gap, block),
  });

  constructor(sink: ArchiveSink, options: ZipWriterOptions = {}) {
    this.#sink = sink;
    this.#wideFrom = options.wideFrom ?? FULL_32;
  }

  async add(entry: ArchiveEntry): Promise<void> {
    const offset = this.#sink.position;
    const flags = isUtf8(entry.name) ? FLAG_UTF8 : 0;
    if (entry.large === undefined) {
      const size = entry.content.length;
      const written = {
        flags,
        method: STORED,
        crc: crc32(entry.content),
        packed: size,
        size,
        offset,
      };
      await this.#sink.add(localHeader(entry, written, false), entry.content);
      this.#list(entry, written);
    } else {
      await this.#addLarge(entry, entry.large, { flags: flags | FLAG_LENGTHS_AFTER, offset });
    }
  }

  async end(): Promise<void> {
    const offset = this.#sink.position;
    for (const piece of [...this.#directory, ...this.#recent]) await this.#sink.add(piece);
    const end = { count: this.#entries, bytes: this.#directoryBytes, offset };
    await this.#sink.add(ending(end, this.#wideFrom));
    await this.#sink.end();
  }

  async #addLarge(
    entry: ArchiveEntry,
    { path, size: expected }: { path: Buffer; size: number },
    begun: Pick<Written, "flags" | "offset">,
  ): Promise<void> {
    const is64 = expected >= this.#wideFrom * LARGE_SHARE;
    const unknown = { ...begun, method: DEFLATED, crc: 0, packed: 0, size: 0 };
    await this.#sink.add(localHeader(entry, unknown, is64));
    const start = this.#sink.position;
    this.#crc = 0;
    const size = await this.#pump.pump(path, expected, this.#sink);
    await this.#sink.add(LAST_BLOCK);
    const packed = this.#sink.position - start;
    const written = { ...unknown, crc: this.#crc, packed, size };
    await this.#sink.add(descriptor(written, is64));
    this.#list(entry, written);
  }

  #sealBlock(gap: Buffer, block: Buffer): void {
    gap[0] = 0;
    gap.writeUInt16LE(block.length, 1);
    gap.writeUInt16LE(block.length ^ FULL_16, 3);
    this.#crc = crc32(block, this.#crc);
  }

  #list(entry: ArchiveEntry, written: Written): void {
    const record = centralRecord(entry, written, this.#wideFrom);
    this.#recent.push(record);
    this.#recentBytes += record.length;
    if (this.#recentBytes >= DIRECTORY_PIECE_BYTES) {
      this.#directory.push(Buffer.concat(this.#recent));
      this.#recent = [];
      this.#recentBytes = 0;
    }
    this.#entries += 1;
    this.#directoryBytes += record.length;
    if (this.#directoryBytes <= LIMITS.archiveDirectoryBytes.value) return;
    throw new InsienError("limit_reached", "the folder has too many files for a zip; take a tar");
  }
}

/** Zip counts time in local time without saying whose; ours is UTC, and told exactly beside it. */
function dosTime(seconds: number): [time: number, date: number] {
  const at = new Date(Math.min(Math.max(seconds, 315532800), 4354819198) * 1000);
  const time = (at.getUTCHours() << 11) | (at.getUTCMinutes() << 5) | (at.getUTCSeconds() >> 1);
  const date =
    ((at.getUTCFullYear() - 1980) << 9) | ((at.getUTCMonth() + 1) << 5) | at.getUTCDate();
  return [time, date];
}

/** Info-ZIP's "UT": the time of the last change, to the second. */
function unixTime(seconds: number): Buffer {
  const extra = Buffer.alloc(9);
  extra.write("UT", "latin1");
  extra.writeUInt16LE(5, 2);
  extra[4] = 1;
  extra.writeInt32LE(Math.min(Math.max(seconds, -0x80000000), 0x7fffffff), 5);
  return extra;
}

/** The ZIP64 field with the numbers that found no room in 32 bits. */
function wideNumbers(numbers: readonly number[]): Buffer {
  if (numbers.length === 0) return Buffer.alloc(0);
  const extra = Buffer.alloc(4 + 8 * numbers.length);
  extra.writeUInt16LE(1, 0);
  extra.writeUInt16LE(8 * numbers.length, 2);
  for (const [index, number] of numbers.entries()) {
    extra.writeBigUInt64LE(BigInt(number), 4 + 8 * index);
  }
  return extra;
}

function localHeader(entry: ArchiveEntry, written: Written, is64: boolean): Buffer {
  const extra = Buffer.concat([unixTime(entry.modified), wideNumbers(is64 ? [0, 0] : [])]);
  const [time, date] = dosTime(entry.modified);
  const header = Buffer.alloc(30);
  header.writeUInt32LE(0x04034b50, 0);
  header.writeUInt16LE(is64 ? VERSION_64 : VERSION, 4);
  header.writeUInt16LE(written.flags, 6);
  header.writeUInt16LE(written.method, 8);
  header.writeUInt16LE(time, 10);
  header.writeUInt16LE(date, 12);
  header.writeUInt32LE(written.crc, 14);
  header.writeUInt32LE(is64 ? FULL_32 : written.packed, 18);
  header.writeUInt32LE(is64 ? FULL_32 : written.size, 22);
  header.writeUInt16LE(entry.name.length, 26);
  header.writeUInt16LE(extra.length, 28);
  return Buffer.concat([header, entry.name, extra]);
}

function descriptor({ crc, packed, size }: Written, is64: boolean): Buffer {
  const record = Buffer.alloc(is64 ? 24 : 16);
  record.writeUInt32LE(0x08074b50, 0);
  record.writeUInt32LE(crc, 4);
  if (is64) {
    record.writeBigUInt64LE(BigInt(packed), 8);
    record.writeBigUInt64LE(BigInt(size), 16);
  } else {
    record.writeUInt32LE(packed, 8);
    record.writeUInt32LE(size, 12);
  }
  return record;
}

function centralRecord(entry: ArchiveEntry, written: Written, wideFrom: number): Buffer {
  const isWide = (number: number): boolean => number >= wideFrom;
  const narrow = (number: number): number => (isWide(number) ? FULL_32 : number);
  const wide = [written.size, written.packed, written.offset].filter(isWide);
  const extra = Buffer.concat([unixTime(entry.modified), wideNumbers(wide)]);
  const [time, date] = dosTime(entry.modified);
  const version = wide.length > 0 ? VERSION_64 : VERSION;
  const record = Buffer.alloc(46);
  record.writeUInt32LE(0x02014b50, 0);
  record.writeUInt16LE(MADE_BY_UNIX | version, 4);
  record.writeUInt16LE(version, 6);
  record.writeUInt16LE(written.flags, 8);
  record.writeUInt16LE(written.method, 10);
  record.writeUInt16LE(time, 12);
  record.writeUInt16LE(date, 14);
  record.writeUInt32LE(written.crc, 16);
  record.writeUInt32LE(narrow(written.packed), 20);
  record.writeUInt32LE(narrow(written.size), 24);
  record.writeUInt16LE(entry.name.length, 28);
  record.writeUInt16LE(extra.length, 30);
  record.writeUInt16LE(FILE_TYPES[entry.type] | entry.mode, 40);
  if (entry.type === "directory") record[38] = MSDOS_DIRECTORY;
  record.writeUInt32LE(narrow(written.offset), 42);
  return Buffer.concat([record, entry.name, extra]);
}

interface DirectoryPlace {
  count: number;
  bytes: number;
  offset: number;
}

function ending({ count, bytes, offset }: DirectoryPlace, wideFrom: number): Buffer {
  const isWide = offset >= wideFrom;
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(Math.min(count, FULL_16), 8);
  end.writeUInt16LE(Math.min(count, FULL_16), 10);
  end.writeUInt32LE(bytes, 12);
  end.writeUInt32LE(isWide ? FULL_32 : offset, 16);
  if (count < FULL_16 && !isWide) return end;
  const wide = Buffer.alloc(56 + 20);
  wide.writeUInt32LE(0x06064b50, 0);
  wide.writeBigUInt64LE(44n, 4);
  wide.writeUInt16LE(MADE_BY_UNIX | VERSION_64, 12);
  wide.writeUInt16LE(VERSION_64, 14);
  wide.writeBigUInt64LE(BigInt(count), 24);
  wide.writeBigUInt64LE(BigInt(count), 32);
  wide.writeBigUInt64LE(BigInt(bytes), 40);
  wide.writeBigUInt64LE(BigInt(offset), 48);
  wide.writeUInt32LE(0x07064b50, 56);
  wide.writeBigUInt64LE(BigInt(offset + bytes), 64);
  wide.writeUInt32LE(1, 72);
  return Buffer.concat([wide, end]);
}
