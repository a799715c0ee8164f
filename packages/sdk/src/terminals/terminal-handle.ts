/** One viewer's hold of a terminal. */
import type { RpcNotice, TerminalInfo } from "@insien/protocol";
import type { Frame } from "@insien/protocol/frames";
import type { RequestOptions } from "../configuration.ts";
import { sandboxError } from "../errors.ts";
import { exitCodeOf } from "../commands/command-result.ts";
import { OffsetTracker, type OffsetGap } from "../rpc/offset-tracker.ts";
import { ResumableStream, streamRequest, type StreamDefinition } from "../rpc/resumable-stream.ts";
import type { RpcClient } from "../rpc/rpc-client.ts";
import type { RpcFields } from "../rpc/rpc-connection.ts";

export interface TerminalListeners extends RequestOptions {
  /** What the terminal shows, from its scrollback on. A promise it returns holds the program up. */
  onData?: ((bytes: Uint8Array) => void | Promise<void>) | undefined;
  /** The size changed, by this viewer or another. */
  onResize?: ((size: { cols: number; rows: number }) => void) | undefined;
  /** Output was overwritten before it could be read. */
  onGap?: ((gap: OffsetGap) => void) | undefined;
}

export interface TerminalEnd {
  exitCode: number;
  /** The signal that ended the terminal's program. */
  signal: string | undefined;
}

export type TerminalOrigin = { open: RpcFields<"terminalOpen"> } | { attach: string };

export class TerminalHandle {
  /** Empty until the handle is given out. */
  terminalId = "";
  /** The process number of the terminal's program inside the sandbox. */
  pid = 0;
  readonly #client: RpcClient;
  readonly #listeners: TerminalListeners;
  readonly #tracker = new OffsetTracker();
  #channel = -1;
  #end: TerminalEnd | undefined;
  #stream: ResumableStream | undefined;

  private constructor(client: RpcClient, listeners: TerminalListeners) {
    this.#client = client;
    this.#listeners = listeners;
  }

  static async open(
    client: RpcClient,
    origin: TerminalOrigin,
    listeners: TerminalListeners,
  ): Promise<TerminalHandle> {
    const handle = new TerminalHandle(client, listeners);
    handle.#stream = await ResumableStream.open(client, handle.#definition(origin), listeners);
    return handle;
  }

  /** Resolves when the terminal's program ended; rejects when it cannot be followed any longer. */
  async wait(): Promise<TerminalEnd> {
    await this.#stream?.ended;
    if (this.#end !== undefined) return this.#end;
    throw sandboxError(
      "connection_lost",
      `detached from terminal ${this.terminalId} before its end`,
    );
  }

  /** Types into the terminal. */
  async write(data: string | Uint8Array): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    await this.#stream?.send("terminalInput", () => this.#channel, bytes);
  }

  async resize(cols: number, rows: number, options?: RequestOptions): Promise<void> {
    const { terminalId } = this;
    await this.#client.call("terminalResize", { terminalId, cols, rows }, options);
  }

  /** Sends a signal to the terminal's program; `false` when it has ended. */
  async signal(name: string, options?: RequestOptions): Promise<boolean> {
    const fields = { terminalId: this.terminalId, signal: name };
    return (await this.#client.call("terminalSignal", fields, options)).delivered;
  }

  /** Ends the terminal for all its viewers; `false` when it had ended. */
  async close(options?: RequestOptions): Promise<boolean> {
    const { terminalId } = this;
    return (await this.#client.call("terminalClose", { terminalId }, options)).closed;
  }

  /** Stops watching; the terminal goes on. */
  detach(): void {
    this.#stream?.close();
  }

  /** Detaches: a terminal is closed on purpose only. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.detach();
  }

  #definition(origin: TerminalOrigin): StreamDefinition {
    const attach = () =>
      streamRequest("terminalAttach", { terminalId: this.terminalId }, ({ terminal, channel }) =>
        this.#opened(terminal, channel),
      );
    const open = (fields: RpcFields<"terminalOpen">) =>
      streamRequest("terminalOpen", fields, (answer) => this.#opened(answer, answer.channel));
    if ("attach" in origin) this.terminalId = origin.attach;
    return {
      first: "attach" in origin ? attach() : open(origin.open),
      resume: attach,
      frame: (frame) => this.#frame(frame),
      notice: (notice) => this.#notice(notice),
    };
  }

  #opened(terminal: Pick<TerminalInfo, "terminalId" | "pid">, channel: number): void {
    this.terminalId = terminal.terminalId;
    this.pid = terminal.pid;
    this.#channel = channel;
  }

  #frame(frame: Frame): void | Promise<void> {
    if (frame.kind !== "terminalOutput" || frame.channel !== this.#channel) return;
    const { bytes, gap } = this.#tracker.accept(frame.offset, frame.payload);
    if (gap !== undefined) this.#listeners.onGap?.(gap);
    return bytes === undefined ? undefined : this.#listeners.onData?.(bytes);
  }

  #notice(notice: RpcNotice): "end" | "more" {
    if (notice.type === "terminalResized" && notice.terminalId === this.terminalId) {
      this.#listeners.onResize?.({ cols: notice.cols, rows: notice.rows });
    }
    if (!("channel" in notice) || notice.channel !== this.#channel) return "more";
    if (notice.type === "dropped") {
      const gap = this.#tracker.skipTo(notice.to, notice.from);
      if (gap !== undefined) this.#listeners.onGap?.(gap);
    }
    if (notice.type !== "terminalExit") return "more";
    this.#end = { exitCode: exitCodeOf(notice), signal: notice.signal };
    return "end";
  }
}
