/** What every conformance case works on: a runtime, and machines with somebody at their line's end. */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newId, newMachineId, type RpcAnswers } from "@insien/protocol";
import type {
  AgentKit,
  MachineLimits,
  MachineSpec,
  PreparedTemplate,
  Runtime,
  Template,
} from "../runtime.ts";
import { LineServer } from "./line-server.ts";

export interface RuntimeConstruction {
  ownerId: string;
  kit: AgentKit;
  /** For whatever the runtime keeps on disk; the same for all instances of one suite. */
  dataDirectory: string;
}

export interface BenchOptions {
  /** Makes an instance. Called again with the same values to play a restarted orchestrator. */
  create: (construction: RuntimeConstruction) => Promise<Runtime> | Runtime;
  /** `prepareKit` of the agent, or a stand-in for runtimes that run no processes. */
  kit: () => Promise<AgentKit>;
  /** Has `/bin/sh`, `bash` and coreutils, unless every case that needs them is skipped. */
  template: Template;
  /** Ends the machine's first process as a crash would. By default SIGKILL, found through /proc. */
  crash?: (runtime: Runtime, machine: TestMachine) => Promise<void> | void;
  /** Sentences naming what the driver's system still holds for this owner that `list` may not show. */
  leftovers?: (ownerId: string) => Promise<string[]>;
}

const MiB = 1024 * 1024;
export const SMALL: MachineLimits = { cpu: 1, memoryBytes: 256 * MiB, pids: 128 };

export class TestMachine {
  readonly spec: MachineSpec;
  readonly line: LineServer;

  constructor(spec: MachineSpec, line: LineServer) {
    this.spec = spec;
    this.line = line;
  }

  get id(): MachineSpec["machineId"] {
    return this.spec.machineId;
  }

  /** Runs one line of shell to its end. */
  async shell(line: string, options: { timeoutMs?: number } = {}): Promise<RpcAnswers["exec"]> {
    return await this.line.rpc("exec", { shell: line }, options);
  }

  /** The same with bash, for its `/dev/tcp` and `time`. */
  async bash(line: string, options: { timeoutMs?: number } = {}): Promise<RpcAnswers["exec"]> {
    return await this.line.rpc("exec", { cmd: "bash", args: ["-c", line] }, options);
  }
}

interface BenchFields {
  options: BenchOptions;
  directory: string;
  ownerId: string;
  kit: AgentKit;
  runtime: Runtime;
  template: PreparedTemplate;
}

export class Bench implements AsyncDisposable {
  readonly options: BenchOptions;
  /** Temporary; holds the runtime's data directory and the lines. */
  readonly directory: string;
  readonly ownerId: string;
  readonly kit: AgentKit;
  readonly runtime: Runtime;
  readonly template: PreparedTemplate;
  readonly #lines: LineServer[] = [];
  readonly #instances: Runtime[] = [];

  private constructor(fields: BenchFields) {
    this.options = fields.options;
    this.directory = fields.directory;
    this.ownerId = fields.ownerId;
    this.kit = fields.kit;
    this.runtime = fields.runtime;
    this.template = fields.template;
    this.#instances.push(fields.runtime);
  }

  static async open(options: BenchOptions): Promise<Bench> {
    // The kit first: when it cannot be made, nothing else was.
    const kit = await options.kit();
    const directory = await mkdtemp(join(tmpdir(), "insien-conformance-"));
    try {
      const dataDirectory = join(directory, "data");
      await mkdir(dataDirectory);
      const ownerId = `test${newId().slice(0, 12)}`;
      const runtime = await options.create({ ownerId, kit, dataDirectory });
      const template = await runtime.prepare(options.template);
      return new Bench({ options, directory, ownerId, kit, runtime, template });
    } catch (error) {
      await rm(directory, { recursive: true, force: true });
      throw error;
    }
  }

  get dataDirectory(): string {
    return join(this.directory, "data");
  }

  /** Another instance on the same host: of the same owner it is an orchestrator after its crash. */
  async instance(changes: Partial<RuntimeConstruction> = {}): Promise<Runtime> {
    const { ownerId, kit, dataDirectory } = this;
    const runtime = await this.options.create({ ownerId, kit, dataDirectory, ...changes });
    this.#instances.push(runtime);
    return runtime;
  }

  /** A spec nobody has created yet, with somebody listening on its line. */
  async prepare(changes: Partial<MachineSpec> = {}): Promise<TestMachine> {
    const machineId = newMachineId();
    const lineDirectory = join(this.directory, "line", machineId);
    const line = await LineServer.listen(lineDirectory, machineId);
    this.#lines.push(line);
    const { template } = this;
    const spec: MachineSpec = {
      machineId,
      template,
      limits: SMALL,
      network: "none",
      lineDirectory,
      labels: {},
      ...changes,
    };
    return new TestMachine(spec, line);
  }

  /** A running machine whose agent said hello. */
  async machine(changes: Partial<MachineSpec> = {}): Promise<TestMachine> {
    const machine = await this.prepare(changes);
    await this.runtime.create(machine.spec);
    await machine.line.hello();
    return machine;
  }

  /** Destroys what a case left, so that cases do not crowd the host. */
  async clear(): Promise<void> {
    const machines = await this.runtime.list().catch(() => []);
    await Promise.allSettled(machines.map(({ machineId }) => this.runtime.destroy(machineId)));
    for (const line of this.#lines.splice(0)) await line[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.clear();
    for (const instance of this.#instances) await instance[Symbol.asyncDispose]();
    await rm(this.directory, { recursive: true, force: true });
  }
}
