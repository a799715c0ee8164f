/** Tars made by hand, hostile ones too. */
import { checksumOf, paddingOf } from "../src/archive/tar-block.ts";

export interface MadeEntry {
  name: string;
  type?: string;
  mode?: number;
  content?: string;
  target?: string;
}

export function tarHeader({
  name,
  type = "0",
  mode = 0o644,
  content = "",
  target = "",
}: MadeEntry) {
  const block = Buffer.alloc(512);
  block.write(name, 0, 100, "utf8");
  block.write(mode.toString(8).padStart(7, "0"), 100);
  block.write(Buffer.byteLength(content).toString(8).padStart(11, "0"), 124);
  block.write("00000000000", 136);
  block.write(type, 156);
  block.write(target, 157, 100, "utf8");
  block.write("ustar\u000000", 257, "latin1");
  block.write(`${checksumOf(block).toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

export function tarOf(...entries: MadeEntry[]): Buffer {
  const parts = entries.flatMap((entry) => {
    const content = Buffer.from(entry.content ?? "");
    return [tarHeader(entry), content, Buffer.alloc(paddingOf(content.length))];
  });
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}
