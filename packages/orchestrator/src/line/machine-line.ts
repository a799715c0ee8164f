import { EventEmitter, once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import {
  AGENT_PATHS,
  type AgentEvent,
  type BindRequest,
  InsienError,
  LIMITS,
  type MachineId,
  type MainControl,
} from "@insien/protocol";
import type { AgentConnector } from "./agent-connector.ts";
import { openStream, post } from "./control-requests.ts";
import { jsonLines } from "./json-lines.ts";
import { ParkedConnections, ParkedHttpAgent } from "./parked-connections.ts";

const KILL_GRACE_MS = LIMITS.killGraceMs.value;
const CONTROL_BOUNDS = {
  lineBytes: LIMITS.controlEventBytes.value,
  linesPerSecond: LIMITS.controlEventsPerSecond.value,
  bytesPerSecond: LIMITS.controlBytesPerSecond.value,
};

interface LineEvents {
  /** The agent answers: its first words, again after each reconnection. */
  up: [hello: Extract<AgentEvent, { type: "hello" }>];
  /** The control stream broke; the agent may dial again, or the machine may be gone. */
  down: [];
  event: [event: AgentEvent];
}

/**
 * One machine's line, seen from the orchestrator. Its heart is the control stream (`/control/events`),
 * opened on the first connection that arrives: the line is up while that stream lives.
 */
export class MachineLine extends EventEmitter<LineEvents> implements AgentConnector {
  readonly machineId: MachineId;
  readonly httpAgent: ParkedHttpAgent;
  readonly #connections = new ParkedConnections();
  readonly #lost = new AbortController();
  #hello: Extract<AgentEvent, { type: "hello" }> | undefined;
  #control: "closed" | "opening" | "open" = "closed";
  #running = { commands: 0, terminals: 0 };
  #controlStream: IncomingMessage | undefined;

  constructor(machineId: MachineId) {
    super();
    this.setMaxListeners(0);
    this.machineId = machineId;
    this.httpAgent = new ParkedHttpAgent(this.#connections);
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  get isUp(): boolean {
    return this.#control === "open";
  }

  /** Commands that run and terminals that are open, by the agent's last word. */
  get running(): { commands: number; terminals: number } {
    return this.#running;
  }

  park(stream: Duplex): void {
    if (this.#lost.signal.aborted) {
      stream.destroy();
      return;
    }
    this.#connections.park(stream);
    if (this.#control === "closed") void this.#openControl();
  }

  take(options: { signal?: AbortSignal } = {}): Promise<Duplex> {
    if (this.#lost.signal.aborted) return Promise.reject(this.#lost.signal.reason as Error);
    return this.#connections.take(options);
  }

  /** Resolves once the agent answers; rejects after `timeoutMs`, on abort, or when the machine is lost. */
  async ready(options: { timeoutMs: number; signal?: AbortSignal }): Promise<void> {
    if (this.isUp) return;
    const signals = [this.#lost.signal, AbortSignal.timeout(options.timeoutMs), options.signal];
    const signal = AbortSignal.any(signals.filter((each) => each !== undefined));
    try {
      signal.throwIfAborted();
      await once(this, "up", { signal });
    } catch (error) {
      if (this.#lost.signal.aborted) throw this.#lost.signal.reason;
      options.signal?.throwIfAborted();
      throw new InsienError(
        "agent_unreachable",
        `The agent did not answer within ${options.timeoutMs} ms`,
        { cause: error },
      );
    }
  }

  /** Makes a warm machine a sandbox's, or gives a running one a new environment. */
  async bind(request: BindRequest, options: { signal?: AbortSignal } = {}): Promise<void> {
    await this.#post(AGENT_PATHS.bind, request, options);
  }

  /** Gives what the agent says of the main command once it is done. It is not checked. */
  async controlMain(control: MainControl): Promise<AgentEvent> {
    const graceMs = (control.action === "stop" ? control.graceMs : undefined) ?? KILL_GRACE_MS;
    const timeoutMs = graceMs + LIMITS.lineAnswerMs.value;
    return JSON.parse(await this.#post(AGENT_PATHS.main, control, { timeoutMs })) as AgentEvent;
  }

  /** Declares the machine gone: everything that waits or streams ends with `reason`. */
  declareLost(reason: InsienError): void {
    if (this.#lost.signal.aborted) return;
    this.#lost.abort(reason);
    this.#controlStream?.destroy();
    this.#connections.clear(reason);
    this.httpAgent.destroy();
  }

  async #post(
    path: string,
    body: unknown,
    options: { signal?: AbortSignal; timeoutMs?: number },
  ): Promise<string> {
    try {
      return await post(this.httpAgent, path, body, options);
    } catch (error) {
      if (this.#lost.signal.aborted) throw this.#lost.signal.reason;
      options.signal?.throwIfAborted();
      if (error instanceof InsienError) throw error;
      throw new InsienError("agent_unreachable", "The agent did not take what it was told", {
        cause: error,
      });
    }
  }

  async #openControl(): Promise<void> {
    this.#control = "opening";
    const startedAt = performance.now();
    try {
      const response = await openStream(this.httpAgent, AGENT_PATHS.events);
      this.#controlStream = response;
      await this.#readControl(response);
    } catch {
      // A broken control stream and one that never opened are the same: the line is down.
    } finally {
      const wasOpen = this.isUp;
      this.#control = "closed";
      this.#controlStream = undefined;
      this.#running = { commands: 0, terminals: 0 };
      if (wasOpen) this.emit("down");
      void this.#openControlAgain(performance.now() - startedAt);
    }
  }

  /** An agent that breaks each stream at once is asked once a second, not in a tight circle. */
  async #openControlAgain(livedMs: number): Promise<void> {
    const pauseMs = LIMITS.lineReconnectMs.value;
    if (livedMs < pauseMs) {
      this.#control = "opening";
      await sleep(pauseMs, undefined, { signal: this.lost }).catch(() => undefined);
      this.#control = "closed";
    }
    if (this.#connections.count > 0 && !this.#lost.signal.aborted) void this.#openControl();
  }

  async #readControl(response: IncomingMessage): Promise<void> {
    const silence = setTimeout(() => response.destroy(), 3 * LIMITS.lineHeartbeatMs.value);
    try {
      for await (const event of jsonLines(response, CONTROL_BOUNDS)) {
        silence.refresh();
        this.#onControl(event as AgentEvent);
      }
    } finally {
      clearTimeout(silence);
      response.destroy();
    }
  }

  #onControl(event: AgentEvent): void {
    if (event.type === "hello") {
      // A hello that names another machine is an agent that lies; its line is not kept.
      if (event.machineId !== this.machineId)
        throw new InsienError("forbidden", "The agent named another machine");
      this.#hello = event;
      this.#control = "open";
      this.emit("up", event);
    }
    if (event.type === "activity")
      this.#running = { commands: event.commands, terminals: event.terminals };
    this.emit("event", event);
  }

  get hello(): Extract<AgentEvent, { type: "hello" }> | undefined {
    return this.#hello;
  }
}
