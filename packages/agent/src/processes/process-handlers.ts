import { InsienError, type Frame, type RpcAnswers, type RpcRequests } from "@insien/protocol";
import type { RpcConnection, RpcHandlers } from "../rpc/connection.ts";
import { Attachment } from "./attachment.ts";
import { Collector } from "./collector.ts";
import { closedError, type Input } from "./input.ts";
import type { ProcessTable } from "./process-table.ts";
import { OrphanWatch } from "./orphan-watch.ts";
import type { RunningProcess } from "./running-process.ts";
import { signalNumber } from "./signals.ts";

type Types = "exec" | "start" | "attach" | "stdin" | "closeStdin" | "signal" | "list";

const SIGNALLED_BASE = 128;

export interface ProcessDoor {
  handlers: RpcHandlers<Types>;
  /** A `stdin` frame, by the channel that `start` or `attach` opened on the same connection. */
  stdinFrame: (frame: Frame, connection: RpcConnection) => void;
}

export function processDoor(table: ProcessTable): ProcessDoor {
  const orphans = new OrphanWatch();
  const channels = new WeakMap<RpcConnection, Map<number, RunningProcess>>();

  const attach = (process: RunningProcess, connection: RpcConnection): Attachment => {
    const attachment = new Attachment(connection, process);
    const byChannel = channels.get(connection) ?? new Map<number, RunningProcess>();
    channels.set(connection, byChannel.set(attachment.channel, process));
    const release = orphans.hold(process);
    untilEither(process, connection, () => {
      attachment.leave();
      release();
    });
    process.whenEnded(() => byChannel.delete(attachment.channel));
    return attachment;
  };

  return {
    handlers: {
      exec: (request, connection) => exec(table, orphans, request, connection),
      start(request, connection) {
        const process = table.start(request, optionsOf(request));
        const attachment = attach(process, connection);
        attachment.begin({ stdout: 0, stderr: 0 });
        return { processId: process.processId, pid: process.pid, channel: attachment.channel };
      },
      attach({ processId, stdoutOffset = 0, stderrOffset = 0 }, connection) {
        const process = table.get(processId);
        const attachment = attach(process, connection);
        // The answer, which names the channel, goes first.
        queueMicrotask(() => attachment.begin({ stdout: stdoutOffset, stderr: stderrOffset }));
        return { process: process.info(), channel: attachment.channel };
      },
      async stdin({ processId, data, encoding }) {
        await inputOf(table.get(processId)).write(Buffer.from(data, encoding ?? "utf8"));
        return {};
      },
      closeStdin({ processId }) {
        table.get(processId).stdin?.close();
        return {};
      },
      signal({ processId, signal }) {
        return { delivered: table.get(processId).kill(numberOf(signal)) };
      },
      list: () => ({ processes: table.list().map((process) => process.info()) }),
    },
    stdinFrame(frame, connection) {
      const process = channels.get(connection)?.get(frame.channel);
      // Input may cross the command's end on its way; that is nobody's mistake.
      if (process === undefined || process.end !== undefined) return;
      const input = inputOf(process);
      const written = input.write(frame.payload);
      written.catch(() => undefined);
      if (input.full) connection.holdReading(written);
    },
  };
}

/** Calls `leave` when the connection closes before the process has ended; keeps nothing after either. */
function untilEither(process: RunningProcess, { signal }: RpcConnection, leave: () => void): void {
  // One that has ended tells so at once, and has nothing left to leave.
  if (process.end !== undefined) return;
  const left = (): void => {
    forget();
    leave();
  };
  const forget = process.whenEnded(() => signal.removeEventListener("abort", left));
  signal.addEventListener("abort", left, { once: true });
}

function optionsOf({ background, timeoutMs, tag }: RpcRequests["start"]) {
  return {
    background: background ?? false,
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
    ...(tag === undefined ? {} : { tag }),
  };
}

function inputOf(process: RunningProcess): Input {
  if (process.stdin === undefined) throw closedError();
  return process.stdin;
}

function numberOf(signal: string): number {
  const number = signalNumber(signal);
  if (number !== undefined) return number;
  throw new InsienError("invalid_request", `there is no signal ${signal}`, {
    details: { field: "signal" },
  });
}

function exec(
  table: ProcessTable,
  orphans: OrphanWatch,
  request: RpcRequests["exec"],
  connection: RpcConnection,
): Promise<RpcAnswers["exec"]> {
  const { stdin, timeoutMs, encoding = "utf8", ...fields } = request;
  const process = table.start(
    { ...fields, stdin: stdin !== undefined },
    { background: false, ...(timeoutMs === undefined ? {} : { timeoutMs }) },
  );
  const stdout = new Collector();
  const stderr = new Collector();
  process.stdout.follow(stdout);
  process.stderr.follow(stderr);
  if (stdin !== undefined) {
    // A command that does not read its input to the end may still succeed.
    process.stdin?.write(Buffer.from(stdin, encoding)).catch(() => undefined);
    process.stdin?.close();
  }
  untilEither(process, connection, orphans.hold(process));
  return new Promise((resolve, reject) => {
    process.whenEnded((end) => {
      if (end.error !== undefined) {
        const { code, message, details } = end.error;
        reject(new InsienError(code, message, details === undefined ? {} : { details }));
        return;
      }
      const truncated = stdout.truncated || stderr.truncated;
      resolve({
        stdout: stdout.text(encoding),
        stderr: stderr.text(encoding),
        exitCode: end.exitCode ?? SIGNALLED_BASE + (signalNumber(end.signal ?? "") ?? 0),
        ...(end.signal === undefined ? {} : { signal: end.signal }),
        durationMs: end.durationMs,
        ...(truncated
          ? { truncated: { stdoutBytes: stdout.seenBytes, stderrBytes: stderr.seenBytes } }
          : {}),
      });
    });
  });
}
