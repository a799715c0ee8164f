import { openRegularFile } from "../files/regular-file.ts";
import type { ArchiveSink } from "./archive-sink.ts";

export interface BlockLayout {
  blockBytes: number;
  /** Room before each block, for what `seal` writes there. */
  gapBytes: number;
  blocks: number;
  seal: (gap: Buffer, block: Buffer) => void;
}

/**
 * Sends large files in constant memory and without a copy: two buffers take turns, one being read
 * into, block by block with gaps between, while the other goes out.
 */
export class FilePump {
  readonly #layout: BlockLayout;
  #buffers: [Buffer, Buffer] | undefined;

  constructor(layout: BlockLayout) {
    this.#layout = layout;
  }

  /** At most `size` bytes; gives how many there were. */
  async pump(path: Buffer, size: number, sink: ArchiveSink): Promise<number> {
    const { blockBytes, gapBytes, blocks } = this.#layout;
    const bytes = (blockBytes + gapBytes) * blocks;
    this.#buffers ??= [Buffer.allocUnsafeSlow(bytes), Buffer.allocUnsafeSlow(bytes)];
    await sink.flush();
    const { handle } = await openRegularFile(path, { followSymlinks: false });
    let sending: Promise<void> = Promise.resolve();
    try {
      let position = 0;
      for (let turn = 0; position < size; turn += 1) {
        const buffer = this.#buffers[turn % 2] as Buffer;
        const views = this.#views(buffer, size - position);
        const [{ bytesRead }] = await Promise.all([handle.readv(views, position), sending]);
        if (bytesRead === 0) break;
        position += bytesRead;
        const filled = this.#seal(buffer, bytesRead);
        sink.position += filled.length;
        sending = sink.send(filled);
        sending.catch(() => undefined);
      }
      await sending;
      return position;
    } finally {
      await handle.close();
    }
  }

  #views(buffer: Buffer, wanted: number): Buffer[] {
    const { blockBytes, gapBytes, blocks } = this.#layout;
    const views: Buffer[] = [];
    for (let index = 0, left = wanted; index < blocks && left > 0; index += 1) {
      const start = index * (blockBytes + gapBytes) + gapBytes;
      const length = Math.min(blockBytes, left);
      views.push(buffer.subarray(start, start + length));
      left -= length;
    }
    return views;
  }

  #seal(buffer: Buffer, bytesRead: number): Buffer {
    const { blockBytes, gapBytes, seal } = this.#layout;
    let end = 0;
    for (let left = bytesRead; left > 0; left -= blockBytes) {
      const start = end + gapBytes;
      const blockEnd = start + Math.min(blockBytes, left);
      seal(buffer.subarray(end, start), buffer.subarray(start, blockEnd));
      end = blockEnd;
    }
    return buffer.subarray(0, end);
  }
}
