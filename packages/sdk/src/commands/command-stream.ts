/**
 * A command's output as one resumable stream: in order, nothing twice, nothing silently missing.
 */
import type { RpcNotice } from "@insien/protocol";
import type { Frame } from "@insien/protocol/frames";
import type { RequestOptions } from "../configuration.ts";
import { sandboxError } from "../errors.ts";
import { OffsetTracker, type OffsetGap } from "../rpc/offset-tracker.ts";
import { ResumableStream, streamRequest, type StreamDefinition } from "../rpc/resumable-stream.ts";
import type { RpcClient } from "../rpc/rpc-client.ts";
import type { RpcFields } from "../rpc/rpc-connection.ts";
import type { ExitNotice, OutputGap, OutputName } from "./command-result.ts";

export interface CommandReader {
  /** A promise holds the command's output up until it resolves. */
  chunk(stream: OutputName, bytes: Uint8Array): void | Promise<void>;
  gap(gap: OutputGap): void;
}

export interface AttachFields {
  processId: string;
  stdoutOffset?: number | undefined;
  stderrOffset?: number | undefined;
}

/** How the stream begins: with a new command, or with one that runs. */
export type CommandOrigin = { start: RpcFields<"start"> } | { attach: AttachFields };

export class CommandStream {
  processId = "";
  pid = 0;
  /** Set once the command ended. */
  exit: ExitNotice | undefined;
  readonly #reader: CommandReader;
  readonly #trackers: Record<OutputName, OffsetTracker>;
  #channel = -1;
  #stream: ResumableStream | undefined;

  private constructor(origin: CommandOrigin, reader: CommandReader) {
    const from = "attach" in origin ? origin.attach : undefined;
    this.#reader = reader;
    this.#trackers = {
      stdout: new OffsetTracker(from?.stdoutOffset ?? 0),
      stderr: new OffsetTracker(from?.stderrOffset ?? 0),
    };
    if (from !== undefined) this.processId = from.processId;
  }

  static async open(
    client: RpcClient,
    origin: CommandOrigin,
    reader: CommandReader,
    options: RequestOptions,
  ): Promise<CommandStream> {
    const command = new CommandStream(origin, reader);
    try {
      command.#stream = await ResumableStream.open(client, command.#definition(origin), options);
      return command;
    } catch (error) {
      // Given up between the command's start and our caller's hearing of it: nobody else can end
      // it.
      const { processId } = command;
      if ("start" in origin && processId !== "") killQuietly(client, processId);
      throw error;
    }
  }

  /** Resolves with how the command ended; rejects when it cannot be followed to its end. */
  async finished(): Promise<ExitNotice> {
    await this.#stream?.ended;
    if (this.exit !== undefined) return this.exit;
    throw sandboxError(
      "connection_lost",
      `detached from command ${this.processId} before its end`,
      {
        details: { processId: this.processId },
      },
    );
  }

  /** Stops following; the command itself goes on. */
  close(): void {
    this.#stream?.close();
  }

  #definition(origin: CommandOrigin): StreamDefinition {
    const resume = () =>
      streamRequest(
        "attach",
        {
          processId: this.processId,
          stdoutOffset: this.#trackers.stdout.next,
          stderrOffset: this.#trackers.stderr.next,
        },
        ({ channel, process }) => {
          this.#channel = channel;
          this.pid = process.pid;
        },
      );
    const start = (fields: RpcFields<"start">) =>
      streamRequest("start", fields, ({ processId, pid, channel }) => {
        this.processId = processId;
        this.pid = pid;
        this.#channel = channel;
      });
    return {
      first: "attach" in origin ? resume() : start(origin.start),
      resume,
      frame: (frame) => this.#frame(frame),
      notice: (notice) => this.#notice(notice),
    };
  }

  #frame(frame: Frame): void | Promise<void> {
    if (frame.channel !== this.#channel) return;
    if (frame.kind !== "stdout" && frame.kind !== "stderr") return;
    const { bytes, gap } = this.#trackers[frame.kind].accept(frame.offset, frame.payload);
    this.#report(frame.kind, gap);
    return bytes === undefined ? undefined : this.#reader.chunk(frame.kind, bytes);
  }

  #notice(notice: RpcNotice): "end" | "more" {
    if (!("channel" in notice) || notice.channel !== this.#channel) return "more";
    if (notice.type === "dropped" && notice.stream !== "terminal") {
      const tracker = this.#trackers[notice.stream];
      this.#report(notice.stream, tracker.skipTo(notice.to, notice.from));
    }
    if (notice.type !== "exit") return "more";
    this.#report("stdout", this.#trackers.stdout.skipTo(notice.stdoutBytes));
    this.#report("stderr", this.#trackers.stderr.skipTo(notice.stderrBytes));
    this.exit = notice;
    return "end";
  }

  #report(stream: OutputName, gap: OffsetGap | undefined): void {
    if (gap !== undefined) this.#reader.gap({ stream, ...gap });
  }
}

/** Ends a command that its caller no longer wants, and leaves it at that. */
export function killQuietly(client: RpcClient, processId: string): void {
  client.call("signal", { processId, signal: "SIGKILL" }).catch(() => undefined);
}
