/**
 * The line: how an agent reaches its orchestrator, and what is spoken on it.
 *
 * The agent dials the orchestrator's unix socket (or its WebSocket `/line/:machineId`) and parks the
 * connection. On a unix socket it first sends
 *
 *     GET /line/<machineId> HTTP/1.1
 *     Host: insien
 *     Connection: Upgrade
 *     Upgrade: insien-line
 *     Authorization: Bearer <token>
 *
 * and reads `101 Switching Protocols` (or an error status, after which it waits and dials again).
 * From then on the roles turn round: the agent is an HTTP/1.1 server on this byte stream and the
 * orchestrator sends it requests, when it needs one. A WebSocket line is the same with binary
 * messages as the byte stream.
 */
export const LINE_UPGRADE = "insien-line";
export const LINE_WEBSOCKET_PROTOCOL = "insien-line.v1";

/** Paths that the agent serves on its line. */
export const AGENT_PATHS = {
  /** WebSocket: rpc.ts. Open to whoever may use the sandbox. */
  rpc: "/rpc",
  /** GET (with Range), HEAD, PUT: one file's bytes; `?path=`, PUT also `&mode=` (octal) and `&user=`. */
  files: "/files",
  /** WebSocket to a TCP port inside: `/ports/8080`; binary messages are the bytes. */
  ports: "/ports",
  /**
   * GET: a directory as a stream, `?path=` and `&format=zip|tar`; PUT: unpacks a tar (`format=tar`)
   * into `path`, `&user=`.
   */
  archive: "/archive",
  /** GET: `LogLine`s of the main command, newline-delimited; `?follow=true` and `&tail=`. */
  logs: "/logs",
  /** POST `MainControl`: starts, restarts or ends the main command. Orchestrator only. */
  main: "/control/main",
  /** GET: newline-delimited `AgentEvent`s for as long as the connection lasts. Orchestrator only. */
  events: "/control/events",
  /** POST `BindRequest`: makes a warm machine this sandbox's. Orchestrator only. */
  bind: "/control/bind",
  /** POST: SIGTERM to everything, then the agent exits. Orchestrator only. */
  shutdown: "/control/shutdown",
} as const;

/** Where things are inside every machine. */
export const MACHINE_PATHS = {
  /** The agent, its Node and its libraries, read-only. */
  kit: "/insien/kit",
  /** `line.sock` and `token`, read-only. */
  line: "/insien/line",
} as const;

/** Environment of the agent process. */
export const AGENT_ENVIRONMENT = {
  /** `unix:/insien/line/line.sock`, `ws://host:3000` or `wss://host`. */
  line: "INSIEN_LINE",
  machineId: "INSIEN_MACHINE_ID",
  /** A file that holds the token, or `token` itself where no file can be mounted. */
  tokenFile: "INSIEN_TOKEN_FILE",
  token: "INSIEN_TOKEN",
  /** The default user of commands; absent: `user` when it exists, else the agent's own. */
  user: "INSIEN_USER",
} as const;

export interface BindRequest {
  sandboxId: string;
  /** Replaces the environment that commands start with (beside PATH, HOME and the like). */
  env: Record<string, string>;
  hostname?: string;
  /** Started once the machine has its name and environment; binding again leaves a running one alone. */
  main?: MainCommand;
}

/** What runs as the sandbox's main process, under the agent. */
export interface MainCommand {
  /** A program and its arguments. */
  argv: string[];
  /** Starts after the first, when it ends with anything but 0; with growing pauses between. */
  maxRetries: number;
}

/** `start` with another command replaces the one before; ended ones start over with all retries. */
export type MainControl =
  | { action: "start"; main: MainCommand }
  | { action: "restart" }
  | { action: "stop"; graceMs?: number };

export type AgentEvent =
  | {
      type: "hello";
      version: string;
      machineId: string;
      bootId: string;
      home: string;
      user: string;
      startedAt: string;
    }
  /** Sent on every change: what makes a sandbox count as in use. */
  | { type: "activity"; commands: number; terminals: number; at: string }
  | {
      type: "started";
      processId: string;
      command: string[];
      cwd: string;
      user: string;
      background: boolean;
      at: string;
    }
  | {
      type: "ended";
      processId: string;
      exitCode?: number;
      signal?: string;
      error?: { code: string; message: string };
      durationMs: number;
      stdoutBytes: number;
      stderrBytes: number;
      at: string;
    }
  | {
      type: "main";
      state: "running" | "waiting" | "exited" | "failed" | "stopped";
      restarts: number;
      maxRetries: number;
      exitCode?: number;
      signal?: string;
      /** Why it could not be started. */
      error?: string;
      at: string;
    }
  | { type: "heartbeat"; at: string };
