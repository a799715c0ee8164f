import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { waitFor } from "@insien/test-kit";

const run = promisify(execFile);
const READY_MS = 60_000;
const STOP_MS = 60_000;

/** A Docker daemon of the test's own, to be killed and started again at will; no network at all. */
export class PrivateDocker implements AsyncDisposable {
  readonly #directory: string;
  #containerd: ChildProcess | undefined;
  #daemon: ChildProcess | undefined;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  static async start(): Promise<PrivateDocker> {
    const docker = new PrivateDocker(await mkdtemp(join(tmpdir(), "insien-docker-")));
    await docker.start();
    return docker;
  }

  get host(): string {
    return `unix://${this.#directory}/docker.sock`;
  }

  /** What the `docker` command prints. */
  async ask(...args: string[]): Promise<string> {
    return (await run("docker", ["--host", this.host, ...args])).stdout.trim();
  }

  /** Copies an image from the host's own daemon. */
  async load(image: string): Promise<void> {
    const save = spawn("docker", ["save", image], { stdio: ["ignore", "pipe", "inherit"] });
    const load = spawn("docker", ["--host", this.host, "load"], {
      stdio: ["pipe", "ignore", "inherit"],
    });
    const loaded = once(load, "exit");
    await pipeline(save.stdout, load.stdin);
    const [code] = await loaded;
    if (code !== 0) throw new Error(`docker load ended with ${String(code)}`);
  }

  async start(): Promise<void> {
    const at = (name: string) => join(this.#directory, name);
    const containerd = at("containerd.sock");
    // A process of its own, as on every Debian: containers outlive a crash of the Docker daemon.
    this.#containerd ??= spawn(
      "containerd",
      ["--address", containerd, "--root", at("containerd"), "--state", at("containerd-state")],
      { stdio: "ignore" },
    );
    await waitFor(() => stat(containerd), { timeoutMs: READY_MS, describe: "containerd" });
    this.#daemon = spawn(
      // A daemon without a bridge removes docker0 wherever it finds it: so in a network of its own.
      "unshare",
      [
        ...["--net", "dockerd"],
        ...["--host", this.host, "--containerd", containerd],
        ...["--data-root", at("data"), "--exec-root", at("exec"), "--pidfile", at("pid")],
        ...["--bridge", "none", "--iptables=false", "--ip6tables=false"],
      ],
      { stdio: "ignore" },
    );
    await waitFor(() => this.ask("version", "--format", "{{.Server.Version}}"), {
      timeoutMs: READY_MS,
      intervalMs: 200,
      describe: "the test's own Docker daemon to answer",
    });
  }

  /** SIGKILL as a crash, SIGTERM for an orderly stop, which ends all containers. */
  async stop(signal: NodeJS.Signals): Promise<void> {
    await end(this.#daemon, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const containers = await this.ask("ps", "--all", "--quiet").catch(() => "");
    for (const id of containers.split("\n").filter(Boolean)) await this.ask("rm", "--force", id);
    await end(this.#daemon, "SIGTERM");
    await end(this.#containerd, "SIGTERM");
    // One for each container that ended while nobody watched it.
    for (const pid of await processesNaming(this.#directory)) process.kill(pid, "SIGKILL");
    // The daemon makes a mount of its data and leaves it.
    await run("umount", ["--lazy", join(this.#directory, "data")]).catch(() => undefined);
    await rm(this.#directory, { recursive: true, force: true });
  }
}

/** Those whose command line holds the text, and their children, which come first. */
async function processesNaming(text: string): Promise<number[]> {
  const { stdout } = await run("ps", ["-eo", "pid=,ppid=,args="]);
  const all = stdout.split("\n").map((line) => {
    const [pid, parent] = line.trim().split(/\s+/).map(Number);
    return { pid: pid ?? 0, parent: parent ?? 0, names: line.includes(text) };
  });
  const naming = all.filter(({ names }) => names).map(({ pid }) => pid);
  const children = all.filter(({ parent }) => naming.includes(parent)).map(({ pid }) => pid);
  return [...new Set([...children, ...naming])];
}

async function end(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill(signal);
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
  await exited;
  clearTimeout(timer);
}
