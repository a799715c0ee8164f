import type { InsienError } from "@insien/protocol";

/** RFC 6455 leaves 125 bytes for a control frame, two of which are the code. */
const REASON_BYTES = 123;

export const CLOSE_CODES = { policyViolation: 1008, internalError: 1011, serviceRestart: 1012 };

/** What a close frame carries of an error: `{ code, message }` as JSON, the message cut to fit. */
export function closeReason(error: InsienError): string {
  let { message } = error;
  for (;;) {
    const text = JSON.stringify({ code: error.code, message });
    const excess = Buffer.byteLength(text) - REASON_BYTES;
    if (excess <= 0) return text;
    message = message.slice(0, Math.max(0, message.length - excess - 1)) + "…";
    if (message.length <= 1) return JSON.stringify({ code: error.code, message: "" });
  }
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
