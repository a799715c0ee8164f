import type { FrameKind } from "@insien/protocol";
import type { RpcConnection } from "../rpc/connection.ts";
import { HEADROOM_BYTES, WebSocketRpcConnection } from "../rpc/web-socket-rpc-connection.ts";
import type { Output, OutputReader } from "./output.ts";
import type { ProcessEnd, RunningProcess } from "./running-process.ts";

type StreamName = "stdout" | "stderr";

/** One connection that follows one command on one channel. */
export class Attachment {
  readonly channel: number;
  readonly #connection: RpcConnection;
  readonly #process: RunningProcess;
  #forgetEnd: () => void = () => undefined;
  readonly #readers: readonly (readonly [Output, OutputReader])[];

  constructor(connection: RpcConnection, process: RunningProcess) {
    this.channel = connection.nextChannel();
    this.#connection = connection;
    this.#process = process;
    this.#readers = [
      [process.stdout, this.#reader("stdout")],
      [process.stderr, this.#reader("stderr")],
    ];
  }

  /** Sends what was printed since the offsets, then goes along live to the `exit` notice. */
  begin(offsets: { stdout: number; stderr: number }): void {
    if (this.#connection.signal.aborted) return;
    this.#replay("stdout", this.#process.stdout, offsets.stdout);
    this.#replay("stderr", this.#process.stderr, offsets.stderr);
    if (this.#process.end === undefined) {
      for (const [output, reader] of this.#readers) output.follow(reader);
    }
    this.#forgetEnd = this.#process.whenEnded((end) => this.#sendExit(end));
  }

  leave(): void {
    this.#forgetEnd();
    for (const [output, reader] of this.#readers) output.unfollow(reader);
  }

  #reader(kind: StreamName): OutputReader {
    const { channel } = this;
    const connection = this.#connection;
    if (connection instanceof WebSocketRpcConnection) {
      return {
        output: (offset, frame) => connection.sendInPlace(kind, channel, offset, frame),
        get full() {
          return connection.pendingBytes > 0;
        },
        emptied: () => connection.emptied(),
      };
    }
    return {
      output: (offset, frame) =>
        connection.sendBytes(kind, channel, offset, frame.subarray(HEADROOM_BYTES)),
      get full() {
        return connection.congested;
      },
      emptied: () => connection.drained(),
    };
  }

  #replay(stream: StreamName & FrameKind, { ring }: Output, wanted: number): void {
    const { channel } = this;
    const from = Math.min(wanted, ring.end);
    const to = Math.max(from, ring.start);
    if (to > from) this.#connection.notify({ type: "dropped", channel, stream, from, to });
    let offset = to;
    for (const bytes of ring.read(to)) {
      this.#connection.sendBytes(stream, channel, offset, bytes);
      offset += bytes.byteLength;
    }
  }

  #sendExit({ exitCode, signal, error, durationMs, stdoutBytes, stderrBytes }: ProcessEnd): void {
    this.#connection.notify({
      type: "exit",
      processId: this.#process.processId,
      channel: this.channel,
      ...(exitCode === undefined ? {} : { exitCode }),
      ...(signal === undefined ? {} : { signal }),
      ...(error === undefined ? {} : { error }),
      durationMs,
      stdoutBytes,
      stderrBytes,
    });
  }
}
