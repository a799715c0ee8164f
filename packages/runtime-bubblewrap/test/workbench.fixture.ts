/** A bubblewrap runtime with machines to look into, and everything removed at the end. */
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { prepareKit } from "@insien/agent/kit";
import { newId, newMachineId, type MachineId, type RpcAnswers } from "@insien/protocol";
import type { AgentKit, MachineSpec, Runtime } from "@insien/runtime";
import { LineServer } from "@insien/runtime/conformance";
import { createBubblewrapRuntime } from "../src/index.ts";

const MiB = 1024 * 1024;
export const KIT_DIRECTORY = join(tmpdir(), "insien-test-kit");

export class Workbench implements AsyncDisposable {
  readonly directory: string;
  readonly kit: AgentKit;
  readonly runtime: Runtime;
  readonly #ownerId = `test${newId().slice(0, 12)}`;
  readonly #lines: LineServer[] = [];

  private constructor(directory: string, kit: AgentKit) {
    this.directory = directory;
    this.kit = kit;
    this.runtime = this.instance();
  }

  static async open(): Promise<Workbench> {
    const directory = await temporaryDirectory();
    const kit = await prepareKit({ directory: KIT_DIRECTORY });
    return new Workbench(directory, kit);
  }

  /** With a kit whose first process is a line of shell instead of an agent. */
  static async openPlain(line: string): Promise<Workbench> {
    const directory = await temporaryDirectory();
    const kitDirectory = join(directory, "kit");
    await mkdir(kitDirectory);
    const command = ["/bin/sh", "-c", line];
    const kit = { directory: kitDirectory, command, environment: {}, hash: "plain" };
    return new Workbench(directory, kit);
  }

  /** Another instance of the same owner, as after a crash. */
  instance(): Runtime {
    const dataDirectory = join(this.directory, "data");
    return createBubblewrapRuntime({ ownerId: this.#ownerId, kit: this.kit, dataDirectory });
  }

  async spec(changes: Partial<MachineSpec> = {}): Promise<MachineSpec> {
    const machineId = newMachineId();
    const lineDirectory = join(this.directory, "line", machineId);
    await mkdir(lineDirectory, { recursive: true });
    await writeFile(join(lineDirectory, "token"), "token");
    return {
      machineId,
      template: await this.runtime.prepare({ name: "base", image: "ignored" }),
      limits: { cpu: 1, memoryBytes: 256 * MiB, pids: 128 },
      network: "none",
      lineDirectory,
      labels: {},
      ...changes,
    };
  }

  /** A machine whose agent answers. */
  async machine(changes: Partial<MachineSpec> = {}): Promise<WorkbenchMachine> {
    const spec = await this.spec(changes);
    const line = await LineServer.listen(spec.lineDirectory, spec.machineId);
    this.#lines.push(line);
    await this.runtime.create(spec);
    await line.hello();
    return new WorkbenchMachine(spec.machineId, line);
  }

  /** The machine's directory on the host. */
  path(machineId: MachineId, ...names: string[]): string {
    return join(this.directory, "data", "machines", machineId, ...names);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { machineId } of await this.runtime.list()) await this.runtime.destroy(machineId);
    for (const line of this.#lines) await line[Symbol.asyncDispose]();
    await this.runtime[Symbol.asyncDispose]();
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** Open to all, unlike the conformance suite's, so that both ways to the files are taken. */
async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "insien-bubblewrap-"));
  await chmod(directory, 0o711);
  return directory;
}

export class WorkbenchMachine {
  readonly id: MachineId;
  readonly line: LineServer;

  constructor(id: MachineId, line: LineServer) {
    this.id = id;
    this.line = line;
  }

  async shell(line: string): Promise<RpcAnswers["exec"]> {
    return await this.line.rpc("exec", { shell: line });
  }

  async python(source: string, ...parameters: string[]): Promise<RpcAnswers["exec"]> {
    const args = ["-c", source, ...parameters];
    return await this.line.rpc("exec", { cmd: "/usr/bin/python3", args });
  }
}
