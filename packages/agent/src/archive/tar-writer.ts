/** Tar as POSIX has it: ustar headers, and pax records for what does not fit into them. */
import { InsienError } from "@insien/protocol";
import type { ArchiveEntry, ArchiveWriter } from "./archive-entry.ts";
import type { ArchiveSink } from "./archive-sink.ts";
import { FilePump } from "./file-pump.ts";
import { BLOCK_BYTES, checksumOf, paddingOf } from "./tar-block.ts";

const PUMP_BYTES = 1024 * 1024;
const NAME_BYTES = 100;
const SIZE_MAX = 0o77777777777;
const ID_MAX = 0o7777777;
const TYPES = { file: "0", directory: "5", symlink: "2" };

export class TarWriter implements ArchiveWriter {
  readonly #sink: ArchiveSink;
  readonly #pump = new FilePump({
    blockBytes: PUMP_BYTES,
    gapBytes: 0,
    blocks: 1,
    seal: () => undefined,
  });

  constructor(sink: ArchiveSink) {
    this.#sink = sink;
  }

  async add(entry: ArchiveEntry): Promise<void> {
    const size = sizeOf(entry);
    await this.#sink.add(...headersOf(entry, size));
    if (entry.large !== undefined) {
      const sent = await this.#pump.pump(entry.large.path, size, this.#sink);
      // The header has promised the length, so the archive cannot be right any more.
      if (sent < size)
        throw new InsienError("internal", `${entry.name.toString()} was cut while it was read`);
    } else if (entry.type === "file") {
      await this.#sink.add(entry.content);
    }
    await this.#sink.add(Buffer.alloc(paddingOf(size)));
  }

  async end(): Promise<void> {
    await this.#sink.add(Buffer.alloc(2 * BLOCK_BYTES));
    await this.#sink.end();
  }
}

const sizeOf = ({ type, large, content }: ArchiveEntry): number =>
  type === "file" ? (large?.size ?? content.length) : 0;

const fits = (text: Buffer): boolean =>
  text.length <= NAME_BYTES && text.every((byte) => byte < 0x80);

function headersOf(entry: ArchiveEntry, size: number): Buffer[] {
  const target = entry.type === "symlink" ? entry.content : Buffer.alloc(0);
  const records: Buffer[] = [];
  if (!fits(entry.name)) records.push(paxRecord("path", entry.name));
  if (!fits(target)) records.push(paxRecord("linkpath", target));
  if (size > SIZE_MAX) records.push(paxRecord("size", Buffer.from(String(size))));
  if (entry.uid > ID_MAX) records.push(paxRecord("uid", Buffer.from(String(entry.uid))));
  if (entry.gid > ID_MAX) records.push(paxRecord("gid", Buffer.from(String(entry.gid))));
  const own = header(entry, TYPES[entry.type], size, target);
  if (records.length === 0) return [own];
  const pax = Buffer.concat(records);
  const name = Buffer.from("PaxHeader/entry");
  return [
    header({ ...entry, name, mode: 0o644 }, "x", pax.length, Buffer.alloc(0)),
    pax,
    Buffer.alloc(paddingOf(pax.length)),
    own,
  ];
}

/** "length key=value\n", where the length counts itself. */
function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from("\n")]);
  let length = rest.length;
  while (length !== rest.length + String(length).length)
    length = rest.length + String(length).length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function header(entry: ArchiveEntry, type: string, size: number, target: Buffer): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const number = (value: number, offset: number, length: number): void => {
    block.write(value.toString(8).padStart(length - 1, "0"), offset, "latin1");
  };
  entry.name.copy(block, 0, 0, NAME_BYTES);
  number(entry.mode, 100, 8);
  number(Math.min(entry.uid, ID_MAX), 108, 8);
  number(Math.min(entry.gid, ID_MAX), 116, 8);
  number(Math.min(size, SIZE_MAX), 124, 12);
  number(Math.min(Math.max(entry.modified, 0), SIZE_MAX), 136, 12);
  block.write(type, 156, "latin1");
  target.copy(block, 157, 0, NAME_BYTES);
  block.write("ustar\u000000", 257, "latin1");
  number(checksumOf(block), 148, 7);
  block.write(" ", 155, "latin1");
  return block;
}
