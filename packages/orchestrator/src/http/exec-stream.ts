import { StringDecoder } from "node:string_decoder";
import {
  type ExecBody,
  type ExecLine,
  InsienError,
  LIMITS,
  type RpcServerFrame,
  decodeFrame,
  newId,
} from "@insien/protocol";
import { WebSocket } from "ws";
import { agentError, agentSocket, parseFrame } from "../line/agent-call.ts";
import type { AgentConnector } from "../line/agent-connector.ts";
import { asInsienError } from "./error-answer.ts";
import type { LineStream } from "./line-stream.ts";

type Decoders = Record<"stdout" | "stderr", StringDecoder>;

/**
 * Runs a command and sends what it prints as lines while it runs. A reader that is slow slows the
 * command; a reader that leaves (`signal`) ends it.
 */
export class ExecStream {
  readonly #lines: LineStream<ExecLine>;
  readonly #decoders: Decoders = {
    stdout: new StringDecoder("utf8"),
    stderr: new StringDecoder("utf8"),
  };
  readonly #done = Promise.withResolvers<void>();
  #socket: WebSocket | undefined;
  #processId: string | undefined;

  constructor(lines: LineStream<ExecLine>) {
    this.#lines = lines;
  }

  /** Resolves when the last line was sent. Errors become that line. */
  async run(
    connector: AgentConnector,
    body: ExecBody,
    options: { signal: AbortSignal; requestId: string },
  ): Promise<void> {
    const signal = AbortSignal.any([options.signal, connector.lost]);
    const onAbort = () => this.#done.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      signal.throwIfAborted();
      await this.#start(connector, body, signal);
      await this.#done.promise;
    } catch (thrown) {
      const error = asInsienError(thrown);
      this.#lines.send({ type: "error", error: error.toBody(options.requestId) });
      this.#kill();
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#socket?.close();
      this.#lines.end();
    }
  }

  async #start(connector: AgentConnector, body: ExecBody, signal: AbortSignal): Promise<void> {
    const stream = await connector.take({ signal });
    const socket = agentSocket(stream, { maxPayload: LIMITS.rpcFrameBytes.value });
    this.#socket = socket;
    socket.on("error", (cause) => {
      const message = "The connection to the sandbox's agent broke";
      this.#done.reject(new InsienError("connection_lost", message, { cause }));
    });
    socket.on("close", () => {
      this.#done.reject(new InsienError("connection_lost", "The sandbox's agent went away"));
    });
    socket.on("message", (data: Buffer, isBinary) => {
      try {
        if (isBinary) this.#onOutput(data);
        else this.#onFrame(parseFrame(String(data)) as RpcServerFrame, body);
      } catch (error) {
        this.#done.reject(error);
      }
    });
    socket.on("open", () => socket.send(JSON.stringify(startRequest(body))));
  }

  #onOutput(data: Buffer): void {
    const frame = decodeFrame(data);
    if (frame?.kind !== "stdout" && frame?.kind !== "stderr") return;
    this.#send(frame.kind, this.#decoders[frame.kind].write(Buffer.from(frame.payload)));
  }

  #onFrame(frame: RpcServerFrame, body: ExecBody): void {
    switch (frame.type) {
      case "startResponse":
        this.#processId = frame.processId;
        this.#lines.send({ type: "started", process_id: frame.processId, pid: frame.pid });
        if (body.stdin !== undefined) this.#sendInput(frame.processId, body.stdin);
        break;
      case "dropped":
        if (frame.stream === "terminal") break;
        this.#lines.send({ type: "dropped", stream: frame.stream, bytes: frame.to - frame.from });
        break;
      case "exit":
        this.#finish(frame);
        break;
      case "error":
        // Input that came too late for a command that ended is no failure of the command.
        if (this.#processId !== undefined) break;
        this.#done.reject(agentError(frame.error));
        break;
      default:
        // Answers to the input and the kill, which nobody waits for.
        break;
    }
  }

  #finish(notice: Extract<RpcServerFrame, { type: "exit" }>): void {
    for (const kind of ["stdout", "stderr"] as const) this.#send(kind, this.#decoders[kind].end());
    this.#processId = undefined;
    this.#lines.send({
      type: "exit",
      duration_ms: Math.round(notice.durationMs),
      ...(notice.exitCode === undefined ? {} : { exit_code: notice.exitCode }),
      ...(notice.signal === undefined ? {} : { signal: notice.signal }),
      ...(notice.error === undefined ? {} : { error: notice.error }),
    });
    this.#done.resolve();
  }

  #send(type: "stdout" | "stderr", data: string): void {
    if (data === "" || this.#lines.send({ type, data })) return;
    this.#socket?.pause();
    this.#lines.drained().then(
      () => this.#socket?.resume(),
      (error: unknown) => this.#done.reject(error),
    );
  }

  #sendInput(processId: string, data: string): void {
    this.#socket?.send(JSON.stringify({ id: newId(), type: "stdin", processId, data }));
    this.#socket?.send(JSON.stringify({ id: newId(), type: "closeStdin", processId }));
  }

  #kill(): void {
    if (this.#processId === undefined || this.#socket?.readyState !== WebSocket.OPEN) return;
    const request = { id: newId(), type: "signal", processId: this.#processId, signal: "SIGKILL" };
    this.#socket.send(JSON.stringify(request));
  }
}

function startRequest(body: ExecBody) {
  const { environment, timeout_seconds: timeoutSeconds, stdin, ...command } = body;
  return {
    ...command,
    id: newId(),
    type: "start",
    ...(environment === undefined ? {} : { env: environment }),
    ...(timeoutSeconds === undefined ? {} : { timeoutMs: Math.round(timeoutSeconds * 1_000) }),
    ...(stdin === undefined ? {} : { stdin: true }),
  };
}
