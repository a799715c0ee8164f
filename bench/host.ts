/** What the baselines are made of: programs of this host, containers, and numbers from /proc. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const execute = promisify(execFile);

export const MIB = 1024 ** 2;

/** A directory whose files live in memory, where this host has one. */
export const memoryDirectory = (): string | undefined =>
  existsSync("/dev/shm") ? "/dev/shm" : undefined;

/** One benchmark run's hold on the host; what it made is removed with it. */
export class Host implements AsyncDisposable {
  /** The default template's image, for the baselines' containers too. */
  readonly image: string;
  readonly directory: string;
  readonly #containers: string[] = [];

  private constructor(image: string, directory: string) {
    this.image = image;
    this.directory = directory;
  }

  static async open(image: string): Promise<Host> {
    return new Host(image, await mkdtemp(join(tmpdir(), "insien-bench-")));
  }

  /** Runs a program to its end; throws when it fails. */
  async run(program: string, args: readonly string[]): Promise<string> {
    const { stdout } = await execute(program, args, { maxBuffer: 16 * MIB });
    return stdout;
  }

  /** An idle container for the baselines, removed at the end. */
  async idleContainer(): Promise<string> {
    const args = [
      "run",
      "--detach",
      "--init",
      "--network",
      "none",
      this.image,
      "sleep",
      "infinity",
    ];
    const id = (await this.run("docker", args)).trim();
    this.#containers.push(id);
    return id;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#containers.length > 0) {
      await this.run("docker", ["rm", "--force", "--volumes", ...this.#containers]);
    }
    await rm(this.directory, { recursive: true, force: true });
  }
}

/** Spawns a program with pipes, reads both outputs to their ends and counts the bytes of stdout. */
export async function spawnAndRead(program: string, args: readonly string[]): Promise<number> {
  const child = spawn(program, args, { stdio: "pipe" });
  child.stdin.end();
  let bytes = 0;
  let complaint = "";
  child.stdout.on("data", (chunk: Buffer) => {
    bytes += chunk.byteLength;
  });
  child.stderr.on("data", (chunk: Buffer) => {
    complaint += String(chunk);
  });
  const [code] = await once(child, "close");
  if (code !== 0) throw new Error(`${program} ended with ${String(code)}: ${complaint}`);
  return bytes;
}

const kibibytes = (file: string, field: string): number => {
  const match = new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(readFileSync(file, "utf8"));
  if (match?.[1] === undefined) throw new Error(`${file} has no ${field}`);
  return Number(match[1]);
};

const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
    .split(" ")
    .filter((id) => id !== "")
    .map(Number);

const TICKS_PER_SECOND = 100;

/** Processor time that a process and its children have had, in seconds. */
export function processorSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  const own = (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  return childrenOf(pid).reduce((sum, child) => sum + processorSeconds(child), own);
}

/** Memory of a process in MiB. */
export const memory = {
  residentMiB: (pid: number): number => kibibytes(`/proc/${pid}/status`, "VmRSS") / 1024,
  /** Of its children together. */
  childrenMiB: (pid: number): number =>
    childrenOf(pid).reduce((sum, child) => sum + memory.residentMiB(child), 0),
  /** Its own pages, and its share of those that it shares. */
  proportionalMiB: (pid: number): number => kibibytes(`/proc/${pid}/smaps_rollup`, "Pss") / 1024,
  /** The most that was resident since `forgetPeak`. */
  peakMiB: (pid: number): number => kibibytes(`/proc/${pid}/status`, "VmHWM") / 1024,
  forgetPeak: (pid: number): void => writeFileSync(`/proc/${pid}/clear_refs`, "5"),
};
