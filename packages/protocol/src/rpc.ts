/**
 * The RPC spoken over the WebSocket `/agent/:id`: JSON text frames `{ id, type, ... }`, answered by
 * `{ id, type: "<type>Response", ... }` or `{ id, type: "error", error }`. `exec`, `write` and `read`
 * are the first seed's, unchanged; their optional fields and every other type extend it. Program
 * output and input travel as binary frames (frames.ts) on the channel that an answer opened.
 *
 * Client and agent speak it end to end: the orchestrator copies bytes and never looks inside.
 */
import { z } from "zod";
import type { ErrorBody } from "./errors.ts";
import { LIMITS } from "./limits.ts";

// Patterns rather than refinements: they survive the conversion to JSON Schema, which the agent checks with.
const withoutNul = /^[^\0]*$/;
const path = z
  .string()
  .min(1)
  .max(LIMITS.pathBytes.value)
  .regex(withoutNul, "must not contain NUL");
const environment = z.record(
  z.string().regex(/^[^=\0]+$/, "must be a variable name"),
  z.string().regex(withoutNul, "must not contain NUL"),
);
const encoding = z.enum(["utf8", "base64"]);
const offset = z.int().nonnegative();
const cells = z.int().min(1).max(LIMITS.terminalCells.value);
const requestId = z.union([z.string().max(128), z.number()]);
const signal = z.string().regex(/^SIG[A-Z0-9]+$/, "must be a signal name such as SIGTERM");

const base = { id: requestId };

/** What a command is run with. Either `cmd` (with `args`, no shell between) or `shell` (one line for `sh -c`). */
const commandFields = {
  cmd: z.string().min(1).optional(),
  args: z.array(z.string()).optional(),
  shell: z.string().min(1).optional(),
  cwd: path.optional(),
  env: environment.optional(),
  /** A name of the sandbox's /etc/passwd or a numeric id; by default the template's user. */
  user: z.string().min(1).max(64).optional(),
  /** Milliseconds; 0 or absent: no limit. */
  timeoutMs: z.int().nonnegative().optional(),
};

export const rpcRequests = {
  /** Runs to the end and answers once with all of the output (bounded by collectedOutputBytes per stream). */
  exec: z.object({
    ...base,
    type: z.literal("exec"),
    ...commandFields,
    stdin: z.string().optional(),
    encoding: encoding.optional(),
  }),
  /** Starts a command and streams: `startResponse`, binary frames, then an `exit` notice. */
  start: z.object({
    ...base,
    type: z.literal("start"),
    ...commandFields,
    /** Keep stdin open for `stdin` frames; otherwise the command reads end-of-file. */
    stdin: z.boolean().optional(),
    /** Survives the connection that started it. Without it the command is killed when its starter leaves and nobody attached within a minute. */
    background: z.boolean().optional(),
    /** A name to find it by in `list`. */
    tag: z.string().max(128).optional(),
  }),
  /** Follows a command from the given offsets, live until its `exit` notice. */
  attach: z.object({
    ...base,
    type: z.literal("attach"),
    processId: z.string(),
    stdoutOffset: offset.optional(),
    stderrOffset: offset.optional(),
  }),
  /** Writes to a command's stdin; answered when the bytes were taken. Binary `stdin` frames do the same unanswered. */
  stdin: z.object({
    ...base,
    type: z.literal("stdin"),
    processId: z.string(),
    data: z.string(),
    encoding: encoding.optional(),
  }),
  closeStdin: z.object({ ...base, type: z.literal("closeStdin"), processId: z.string() }),
  /** Sends a signal to the command's whole process group. */
  signal: z.object({ ...base, type: z.literal("signal"), processId: z.string(), signal }),
  /** All running commands and the last ended ones. */
  list: z.object({ ...base, type: z.literal("list") }),

  terminalOpen: z.object({
    ...base,
    type: z.literal("terminalOpen"),
    ...commandFields,
    cols: cells.optional(),
    rows: cells.optional(),
    tag: z.string().max(128).optional(),
  }),
  terminalAttach: z.object({ ...base, type: z.literal("terminalAttach"), terminalId: z.string() }),
  terminalDetach: z.object({ ...base, type: z.literal("terminalDetach"), terminalId: z.string() }),
  terminalInput: z.object({
    ...base,
    type: z.literal("terminalInput"),
    terminalId: z.string(),
    data: z.string(),
    encoding: encoding.optional(),
  }),
  terminalResize: z.object({
    ...base,
    type: z.literal("terminalResize"),
    terminalId: z.string(),
    cols: cells,
    rows: cells,
  }),
  terminalSignal: z.object({
    ...base,
    type: z.literal("terminalSignal"),
    terminalId: z.string(),
    signal,
  }),
  terminalClose: z.object({ ...base, type: z.literal("terminalClose"), terminalId: z.string() }),
  terminalList: z.object({ ...base, type: z.literal("terminalList") }),

  /** Writes a small file atomically (temporary file, then rename); missing parents are made. */
  write: z.object({
    ...base,
    type: z.literal("write"),
    path,
    content: z.string(),
    encoding: encoding.optional(),
    mode: z.int().min(0).max(0o7777).optional(),
    user: z.string().optional(),
  }),
  read: z.object({ ...base, type: z.literal("read"), path, encoding: encoding.optional() }),
  stat: z.object({
    ...base,
    type: z.literal("stat"),
    path,
    followSymlinks: z.boolean().optional(),
  }),
  listDirectory: z.object({
    ...base,
    type: z.literal("listDirectory"),
    path,
    /** Nothing outside of this directory is reached, whatever links lie in it. */
    root: path.optional(),
    depth: z.int().min(1).max(LIMITS.directoryDepth.value).optional(),
    limit: z.int().min(1).max(LIMITS.directoryEntries.value).optional(),
  }),
  makeDirectory: z.object({
    ...base,
    type: z.literal("makeDirectory"),
    path,
    root: path.optional(),
    mode: z.int().min(0).max(0o7777).optional(),
    user: z.string().optional(),
  }),
  move: z.object({
    ...base,
    type: z.literal("move"),
    from: path,
    to: path,
    overwrite: z.boolean().optional(),
  }),
  copy: z.object({
    ...base,
    type: z.literal("copy"),
    from: path,
    to: path,
    overwrite: z.boolean().optional(),
  }),
  remove: z.object({ ...base, type: z.literal("remove"), path, recursive: z.boolean().optional() }),
  chmod: z.object({
    ...base,
    type: z.literal("chmod"),
    path,
    mode: z.int().min(0).max(0o7777),
    recursive: z.boolean().optional(),
  }),
  search: z.object({
    ...base,
    type: z.literal("search"),
    path,
    /** Plain text, or a JavaScript regular expression when `regex` is true. */
    pattern: z.string().min(1).max(4096),
    regex: z.boolean().optional(),
    ignoreCase: z.boolean().optional(),
    /** Only file names that match, e.g. "*.ts". */
    glob: z.string().max(512).optional(),
    limit: z.int().min(1).max(LIMITS.searchMatches.value).optional(),
  }),
  /** Streams `fileEvent` notices until `unwatch` or the connection's end. */
  watch: z.object({ ...base, type: z.literal("watch"), path, recursive: z.boolean().optional() }),
  unwatch: z.object({ ...base, type: z.literal("unwatch"), watchId: z.string() }),

  /** TCP ports that something in the sandbox listens on. */
  ports: z.object({ ...base, type: z.literal("ports") }),
  metrics: z.object({ ...base, type: z.literal("metrics") }),
  ping: z.object({ ...base, type: z.literal("ping") }),
} as const;

export type RpcType = keyof typeof rpcRequests;
export type RpcRequests = { [Type in RpcType]: z.infer<(typeof rpcRequests)[Type]> };
export type RpcRequest = RpcRequests[RpcType];
export type CommandFields = Pick<
  RpcRequests["start"],
  "cmd" | "args" | "shell" | "cwd" | "env" | "user" | "timeoutMs"
>;

export interface ProcessInfo {
  processId: string;
  pid: number;
  /** The argv that runs; a shell line appears as ["/bin/sh", "-c", line]. */
  command: string[];
  cwd: string;
  user: string;
  tag?: string;
  background: boolean;
  startedAt: string;
  /** Bytes printed so far, which are the offsets to attach at for new output only. */
  stdoutBytes: number;
  stderrBytes: number;
  /** Present once it ended. Exactly one of exitCode and signal is then set. */
  ended?: { at: string; exitCode?: number; signal?: string; error?: ErrorBody };
}

export interface TerminalInfo {
  terminalId: string;
  pid: number;
  command: string[];
  cwd: string;
  cols: number;
  rows: number;
  tag?: string;
  viewers: number;
  startedAt: string;
}

export interface FileInfo {
  /** Absolute path in the sandbox. */
  path: string;
  name: string;
  type: "file" | "directory" | "symlink" | "other";
  size: number;
  /** Permission bits, e.g. 0o644. */
  mode: number;
  uid: number;
  gid: number;
  modifiedAt: string;
  /** Where a symbolic link points, as written in it. */
  target?: string;
}

export interface SearchMatch {
  path: string;
  /** From 1. */
  line: number;
  /** From 1, in UTF-16 units. */
  column: number;
  text: string;
}

export interface PortInfo {
  port: number;
  /** "127.0.0.1", "0.0.0.0", "::" ... */
  address: string;
  pid?: number;
  process?: string;
}

export interface Metrics {
  at: string;
  /** `usedMs` since the machine started; `cores` is the limit where one is set. */
  cpu: { usedMs: number; cores: number };
  memory: { usedBytes: number; limitBytes: number };
  disk: { usedBytes: number; totalBytes: number };
  processes: number;
}

/** The body of each answer, without `id` and `type`. */
export interface RpcAnswers {
  exec: {
    stdout: string;
    stderr: string;
    exitCode: number;
    signal?: string;
    durationMs: number;
    truncated?: { stdoutBytes: number; stderrBytes: number };
  };
  start: { processId: string; pid: number; channel: number };
  attach: { process: ProcessInfo; channel: number };
  stdin: Record<never, never>;
  closeStdin: Record<never, never>;
  signal: { delivered: boolean };
  list: { processes: ProcessInfo[] };
  terminalOpen: { terminalId: string; pid: number; channel: number };
  terminalAttach: { terminal: TerminalInfo; channel: number };
  terminalDetach: Record<never, never>;
  terminalInput: Record<never, never>;
  terminalResize: Record<never, never>;
  terminalSignal: { delivered: boolean };
  terminalClose: { closed: boolean };
  terminalList: { terminals: TerminalInfo[] };
  write: { success: true; path: string; size: number };
  read: { content: string; path: string; size: number; encoding: "utf8" | "base64" };
  stat: { file: FileInfo };
  listDirectory: { entries: FileInfo[]; truncated: boolean };
  makeDirectory: { created: boolean; path: string };
  move: { path: string };
  copy: { path: string };
  remove: { removed: boolean };
  chmod: { path: string };
  search: { matches: SearchMatch[]; truncated: boolean };
  watch: { watchId: string };
  unwatch: { removed: boolean };
  ports: { ports: PortInfo[] };
  metrics: { metrics: Metrics };
  ping: { at: string };
}

/** Frames that answer no request. */
export type RpcNotice =
  /** The last frame of a channel. `stdoutBytes` and `stderrBytes` are the streams' final lengths. */
  | {
      type: "exit";
      processId: string;
      channel: number;
      exitCode?: number;
      signal?: string;
      error?: ErrorBody;
      durationMs: number;
      stdoutBytes: number;
      stderrBytes: number;
    }
  /** Output that this reader asked for is gone: the stream continues at `to`. */
  | {
      type: "dropped";
      channel: number;
      stream: "stdout" | "stderr" | "terminal";
      from: number;
      to: number;
    }
  | { type: "terminalResized"; terminalId: string; cols: number; rows: number }
  | {
      type: "terminalExit";
      terminalId: string;
      channel: number;
      exitCode?: number;
      signal?: string;
    }
  | {
      type: "fileEvent";
      watchId: string;
      event: "create" | "modify" | "remove";
      path: string;
      isDirectory?: boolean;
    }
  /** Events were lost; list again. */
  | { type: "watchOverflow"; watchId: string }
  | { type: "watchEnd"; watchId: string; error?: ErrorBody };

export type RpcAnswer = {
  [Type in RpcType]: { id: string | number; type: `${Type}Response` } & RpcAnswers[Type];
}[RpcType];
export interface RpcError {
  id?: string | number;
  type: "error";
  error: ErrorBody;
}
export type RpcServerFrame = RpcAnswer | RpcError | RpcNotice;
