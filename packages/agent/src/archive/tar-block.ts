/** What writing and reading a tar have in common. */
export const BLOCK_BYTES = 512;
const CHECKSUM_START = 148;
const CHECKSUM_END = 156;
const SPACE = 0x20;

/** Everything in a tar begins at a whole block. */
export const paddingOf = (bytes: number): number =>
  (BLOCK_BYTES - (bytes % BLOCK_BYTES)) % BLOCK_BYTES;

/** The sum of a header's bytes, its own field taken for spaces. */
export function checksumOf(block: Buffer): number {
  let sum = (CHECKSUM_END - CHECKSUM_START) * SPACE;
  for (let index = 0; index < BLOCK_BYTES; index += 1) {
    if (index < CHECKSUM_START || index >= CHECKSUM_END) sum += block[index] ?? 0;
  }
  return sum;
}
