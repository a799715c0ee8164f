import type { InsienError } from "@insien/protocol";

/** RFC 6455 leaves 125 bytes for a control frame, two of which are the code. */
const REASON_BYTES = 123;

export const CLOSE_CODES = { policyViolation: 1008, internalError: 1011, serviceRestart: 1012 };

/** What a close frame carries of an error: `{ code, message }` as JSON, the message cut to fit. */
export function closeReason(error: InsienError): string {
  let message = error.message.slice(0, REASON_BYTES);
  let text = JSON.stringify({ code: error.code, message });
  while (Buffer.byteLength(text) > REASON_BYTES) {
    message = message.slice(0, -1);
    text = JSON.stringify({ code: error.code, message: `${message}…` });
  }
  return text;
}

/** A server's close frame as bytes, for sockets that no WebSocket library holds. */
export function closeFrame(code: number, reason: string): Buffer {
  const text = Buffer.from(reason);
  const frame = Buffer.alloc(4 + text.length);
  frame[0] = 0x88;
  frame[1] = 2 + text.length;
  frame.writeUInt16BE(code, 2);
  text.copy(frame, 4);
  return frame;
}
