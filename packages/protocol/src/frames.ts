/**
 * Binary frames on the RPC WebSocket carry program output and input as they are, with no
 * re-encoding. Layout: kind (u8), channel (u32 BE), offset (u64 BE), payload. `channel` is the
 * number given in the answer that opened the stream; `offset` is the position of the payload's
 * first byte in that stream since it began (0 for input).
 */
export const FRAME_KINDS = {
  stdout: 1,
  stderr: 2,
  terminalOutput: 3,
  stdin: 4,
  terminalInput: 5,
} as const;
export type FrameKind = keyof typeof FRAME_KINDS;

export const FRAME_HEADER_BYTES = 13;

const KIND_NAMES = new Map(
  Object.entries(FRAME_KINDS).map(([name, code]) => [code, name as FrameKind]),
);

export interface Frame {
  kind: FrameKind;
  channel: number;
  offset: number;
  /** A view into the received buffer, not a copy. */
  payload: Uint8Array;
}

/** Writes the 13-byte header at the start of `target`; the payload follows it. */
export function writeFrameHeader(
  target: Uint8Array,
  kind: FrameKind,
  channel: number,
  offset: number,
): void {
  const view = new DataView(target.buffer, target.byteOffset, FRAME_HEADER_BYTES);
  view.setUint8(0, FRAME_KINDS[kind]);
  view.setUint32(1, channel);
  // Offsets stay below 2^53: eight petabytes of output.
  view.setUint32(5, Math.floor(offset / 2 ** 32));
  view.setUint32(9, offset >>> 0);
}

export function encodeFrame(
  kind: FrameKind,
  channel: number,
  offset: number,
  payload: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(FRAME_HEADER_BYTES + payload.byteLength);
  writeFrameHeader(frame, kind, channel, offset);
  frame.set(payload, FRAME_HEADER_BYTES);
  return frame;
}

/** `undefined` when the bytes are too short or of an unknown kind. */
export function decodeFrame(bytes: Uint8Array): Frame | undefined {
  if (bytes.byteLength < FRAME_HEADER_BYTES) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, FRAME_HEADER_BYTES);
  const kind = KIND_NAMES.get(view.getUint8(0) as 1);
  if (kind === undefined) return undefined;
  return {
    kind,
    channel: view.getUint32(1),
    offset: view.getUint32(5) * 2 ** 32 + view.getUint32(9),
    payload: bytes.subarray(FRAME_HEADER_BYTES),
  };
}
