/** Tar archives of things held in memory, as the Engine takes build contexts and files of containers. */

export interface TarEntry {
  /** Relative; a directory's ends with a slash. */
  path: string;
  /** Permission bits. */
  mode: number;
  content?: Uint8Array;
}

const BLOCK = 512;
const NAME_BYTES = 100;
/** Always the same, so that equal contents are equal archives and layers are found in the cache. */
const MODIFIED_AT_SECONDS = 0;

/** Entries in the POSIX format; names of any length and script go into extended headers. */
export function* tarArchive(entries: Iterable<TarEntry>): Generator<Buffer> {
  for (const entry of entries) {
    const { path, mode, content = new Uint8Array() } = entry;
    const isPlain = /^[\x20-\x7e]*$/.test(path) && path.length < NAME_BYTES;
    if (!isPlain) {
      const record = extendedRecord("path", path);
      yield header({ name: "extended", mode: 0o644, size: record.byteLength, type: "x" });
      yield padded(record);
    }
    const type = path.endsWith("/") ? "5" : "0";
    const name = isPlain ? path : "file";
    yield header({ name, mode, size: content.byteLength, type });
    if (content.byteLength > 0) yield padded(content);
  }
  yield Buffer.alloc(2 * BLOCK);
}

function header(fields: { name: string; mode: number; size: number; type: string }): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, digits: number) => value.toString(8).padStart(digits, "0");
  block.write(fields.name, 0);
  block.write(octal(fields.mode, 7), 100);
  block.write(octal(0, 7), 108);
  block.write(octal(0, 7), 116);
  block.write(octal(fields.size, 11), 124);
  block.write(octal(MODIFIED_AT_SECONDS, 11), 136);
  block.write(" ".repeat(8), 148);
  block.write(fields.type, 156);
  block.write("ustar\u000000", 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 6)}\0 `, 148);
  return block;
}

function padded(content: Uint8Array): Buffer {
  const block = Buffer.alloc(Math.ceil(content.byteLength / BLOCK) * BLOCK);
  block.set(content);
  return block;
}

/** "27 path=...\n", where the number counts itself. */
function extendedRecord(key: string, value: string): Buffer {
  const rest = ` ${key}=${value}\n`;
  const bytes = Buffer.byteLength(rest);
  let length = bytes + String(bytes).length;
  if (String(length).length > String(bytes).length) length = bytes + String(length).length;
  return Buffer.from(`${length}${rest}`);
}
