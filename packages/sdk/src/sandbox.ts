/** The facade: what a sandbox can do, by name. The doing is in the files it imports. */
import { platform } from "#platform";
import type { Metrics } from "@insien/protocol";
import { newSandboxId } from "@insien/protocol/ids";
import { ApiClient } from "./api-client.ts";
import { Commands, type RunOptions } from "./commands/commands.ts";
import type { CommandResult } from "./commands/command-result.ts";
import {
  resolveConfiguration,
  type ConnectionOptions,
  type RequestOptions,
} from "./configuration.ts";
import type { CreateOptions } from "./create-progress.ts";
import { abortable } from "./deadline.ts";
import { sandboxError } from "./errors.ts";
import { Files, type FileContent, type ReadOptions, type WriteOptions } from "./files/files.ts";
import { Ports } from "./ports/ports.ts";
import {
  createSandbox,
  destroySandbox,
  extendSandbox,
  getSandbox,
  listSandboxes,
  sandboxEvents,
  switchSandbox,
  type EventsOptions,
  type ListSandboxesOptions,
  type SandboxEvent,
  type SandboxTimeouts,
  type StopOptions,
} from "./sandbox-api.ts";
import { createRequestOf, type SandboxInfo, type SandboxSettings } from "./sandbox-info.ts";
import { openSession } from "./open-session.ts";
import type { Session, SessionSource } from "./session.ts";
import { Entrypoint } from "./settings/entrypoint.ts";
import { Environment } from "./settings/environment.ts";
import { readLogs, type LogLine, type LogOptions } from "./settings/logs.ts";
import { MainCommand } from "./settings/main-command.ts";
import { Terminals } from "./terminals/terminals.ts";
import { usageOf, type UsageHistory, type UsageOptions } from "./usage.ts";
import { SandboxVolumes } from "./volumes/sandbox-volumes.ts";

export interface SandboxOptions extends ConnectionOptions, SandboxSettings {
  /** Told of images that are pulled and steps that are built while the sandbox is created. */
  onProgress?: CreateOptions["onProgress"];
}

export class Sandbox {
  readonly commands: Commands;
  readonly files: Files;
  readonly terminals: Terminals;
  readonly ports: Ports;
  readonly environment: Environment;
  readonly entrypoint: Entrypoint;
  /** The main command as it runs. */
  readonly main: MainCommand;
  readonly volumes: SandboxVolumes;
  readonly #api: ApiClient;
  readonly #settings: SandboxOptions;
  #opening: Promise<Session> | undefined;
  #session: Session | undefined;
  #destroyed = false;
  /** What `await using` does at the end: destroy what it made, leave what it found. */
  #ownsSandbox = true;

  /** Costs nothing yet: the sandbox is created on first use, once. */
  constructor(options: SandboxOptions = {}) {
    this.#api = new ApiClient(resolveConfiguration(options));
    this.#settings = options;
    const source: SessionSource = (request) => this.#use(request);
    this.commands = new Commands(source);
    this.files = new Files(source);
    this.terminals = new Terminals(source);
    this.ports = new Ports(source);
    this.environment = new Environment(source);
    this.entrypoint = new Entrypoint(source);
    this.main = new MainCommand(source);
    this.volumes = new SandboxVolumes(source);
  }

  /** Creates a sandbox now and resolves when it runs. */
  static async create(options: SandboxOptions & RequestOptions = {}): Promise<Sandbox> {
    const sandbox = new Sandbox(options);
    try {
      await sandbox.#use(options);
      return sandbox;
    } catch (error) {
      // A creation that nobody waits for any more must not leave a sandbox behind.
      sandbox.destroy().catch(() => undefined);
      throw error;
    }
  }

  /** A sandbox that exists already. Throws `sandbox_not_found`. `await using` leaves it running. */
  static async connect(
    id: string,
    options: ConnectionOptions & RequestOptions = {},
  ): Promise<Sandbox> {
    const sandbox = new Sandbox(options);
    sandbox.#ownsSandbox = false;
    const { state } = await getSandbox(sandbox.#api, id, options);
    sandbox.#session = openSession(platform, sandbox.#api, id);
    if (state === "running") sandbox.#session.rpc.pool.warm();
    return sandbox;
  }

  /** Your sandboxes, newest first, a page at a time as they are iterated over. */
  static list(
    options: ConnectionOptions & ListSandboxesOptions = {},
  ): AsyncGenerator<SandboxInfo, void, undefined> {
    return listSandboxes(new ApiClient(resolveConfiguration(options)), options);
  }

  /** Throws `sandbox_state` before the first use created the sandbox. */
  get id(): string {
    if (this.#session !== undefined) return this.#session.id;
    throw sandboxError(
      "sandbox_state",
      "the sandbox is created on first use and has no id before",
      {
        hint: "Use `await Sandbox.create()`, or call something first.",
      },
    );
  }

  /** Runs a program to its end; its exit code is a result, not an error. */
  runCommand(
    command: string,
    args: readonly string[] = [],
    options?: RunOptions,
  ): Promise<CommandResult> {
    return this.commands.run([command, ...args], options);
  }

  async writeFile(path: string, content: FileContent, options?: WriteOptions): Promise<void> {
    await this.files.write(path, content, options);
  }

  async getFile(path: string, options?: ReadOptions): Promise<{ path: string; content: string }> {
    return { path, content: await this.files.read(path, options) };
  }

  /** What the server knows of the sandbox at this moment. */
  async info(options: RequestOptions = {}): Promise<SandboxInfo> {
    const { id } = await this.#use(options);
    return getSandbox(this.#api, id, options);
  }

  /** Processor, memory and disk as seen from inside. */
  async metrics(options: RequestOptions = {}): Promise<Metrics> {
    const { rpc } = await this.#use(options);
    return (await rpc.call("metrics", {}, options)).metrics;
  }

  /** How long it lives from now on, and how long it may idle. */
  async setTimeout(timeouts: SandboxTimeouts, options: RequestOptions = {}): Promise<SandboxInfo> {
    const { id } = await this.#use(options);
    return extendSandbox(this.#api, id, timeouts, options);
  }

  /** What it used over time, as the server's monitor measured it from outside. */
  async usage(options: UsageOptions = {}): Promise<UsageHistory> {
    const { id } = await this.#use(options);
    return usageOf(this.#api, id, options);
  }

  /** What the main command prints; with `follow`, until the sandbox ends or the loop is left. */
  async *logs(options: LogOptions = {}): AsyncGenerator<LogLine, void, undefined> {
    yield* readLogs(await this.#use(options), options);
  }

  /** Ends the machine and keeps the files. */
  async stop(options: StopOptions = {}): Promise<SandboxInfo> {
    const { id } = await this.#use(options);
    return switchSandbox(this.#api, id, "stop", options);
  }

  async start(options: RequestOptions = {}): Promise<SandboxInfo> {
    const { id } = await this.#use(options);
    return switchSandbox(this.#api, id, "start", options);
  }

  /** A new machine on the same files. */
  async restart(options: StopOptions = {}): Promise<SandboxInfo> {
    const { id } = await this.#use(options);
    return switchSandbox(this.#api, id, "restart", options);
  }

  /** What happened to the sandbox so far, oldest first. */
  async *events(options: EventsOptions = {}): AsyncGenerator<SandboxEvent, void, undefined> {
    const { id } = await this.#use(options);
    yield* sandboxEvents(this.#api, id, options);
  }

  /** `false` when there was nothing to destroy: destroyed before, or never used. */
  async destroy(options: RequestOptions = {}): Promise<boolean> {
    if (this.#destroyed) return false;
    this.#destroyed = true;
    const session = this.#session ?? (await this.#opening?.catch(() => undefined));
    if (session === undefined) return false;
    session.rpc.close();
    return destroySandbox(this.#api, session.id, options);
  }

  /** Closes the connections and leaves the sandbox running. */
  disconnect(): void {
    this.#session?.rpc.close();
  }

  /** Destroys the sandbox, or only disconnects where it was there before (`connect`). */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ownsSandbox) await this.destroy();
    else this.disconnect();
  }

  async #use(options: RequestOptions = {}): Promise<Session> {
    if (this.#destroyed) {
      throw sandboxError("sandbox_not_found", "this sandbox was destroyed");
    }
    if (this.#session !== undefined) return this.#session;
    this.#opening ??= this.#open();
    return abortable(this.#opening, options.signal);
  }

  /** A failed creation is forgotten, so that the next use tries again. */
  async #open(): Promise<Session> {
    try {
      const { requestTimeoutMs, onProgress } = this.#settings;
      // The id is ours to choose, so the first connection is on its way before the answer is here.
      const id = newSandboxId();
      const request = createRequestOf(this.#settings);
      const created = createSandbox(this.#api, id, request, { requestTimeoutMs, onProgress });
      const session = openSession(platform, this.#api, id);
      session.rpc.pool.warm();
      await created.catch((error: unknown) => {
        session.rpc.close();
        throw error;
      });
      this.#session = session;
      return session;
    } catch (error) {
      this.#opening = undefined;
      throw error;
    }
  }
}
