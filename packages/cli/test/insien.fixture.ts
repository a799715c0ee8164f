import { type ChildProcess, spawn } from "node:child_process";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { TestServer } from "@insien/test-kit";

const PROGRAM = resolve(import.meta.dirname, "../src/main.ts");

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

export interface CallOptions {
  stdin?: string | Uint8Array;
  cwd?: string;
  environment?: Record<string, string>;
}

/** The command line as people run it: a process of its own, told its server by the environment. */
export class Insien {
  readonly #environment: Record<string, string>;

  constructor(server?: TestServer) {
    this.#environment =
      server === undefined ? {} : { INSIEN_API_URL: server.url, INSIEN_API_KEY: server.apiKey };
  }

  /** Runs to its end. */
  async run(args: readonly string[], options: CallOptions = {}): Promise<Outcome> {
    const child = this.start(args, options);
    const output = { stdout: "", stderr: "" };
    for (const name of ["stdout", "stderr"] as const) {
      child[name]?.setEncoding("utf8").on("data", (text: string) => {
        output[name] += text;
      });
    }
    child.stdin?.on("error", () => undefined);
    child.stdin?.end(options.stdin ?? "");
    const code = await new Promise<number>((done, fail) => {
      child.once("error", fail);
      child.once("close", (value) => done(value ?? -1));
    });
    return { code, ...output };
  }

  /** What it printed with `--json`; throws what it said when it failed. */
  async json<Value>(args: readonly string[], options?: CallOptions): Promise<Value> {
    const { code, stdout, stderr } = await this.run([...args, "--json"], options);
    if (code !== 0) throw new Error(`insien ${args.join(" ")} ended with ${code}: ${stderr}`);
    return JSON.parse(stdout) as Value;
  }

  /** The words that succeeded printed, without the last line's end. */
  async text(args: readonly string[], options?: CallOptions): Promise<string> {
    const { code, stdout, stderr } = await this.run(args, options);
    if (code !== 0) throw new Error(`insien ${args.join(" ")} ended with ${code}: ${stderr}`);
    return stdout.trimEnd();
  }

  start(args: readonly string[], options: CallOptions = {}): ChildProcess {
    return spawn(process.execPath, ["--conditions=source", PROGRAM, ...args], {
      cwd: options.cwd,
      stdio: "pipe",
      env: {
        PATH: process.env["PATH"],
        HOME: process.env["HOME"],
        NODE_COMPILE_CACHE: join(tmpdir(), "insien-compile-cache"),
        ...this.#environment,
        ...options.environment,
      },
    });
  }

  /** The same on a terminal of its own, which `script` of util-linux makes. */
  onTerminal(args: readonly string[]): ChildProcess {
    const words = [process.execPath, "--conditions=source", PROGRAM, ...args];
    const line = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
    return spawn("script", ["--quiet", "--flush", "--return", "--command", line, "/dev/null"], {
      stdio: "pipe",
      env: {
        PATH: process.env["PATH"],
        HOME: process.env["HOME"],
        TERM: "xterm-256color",
        ...this.#environment,
      },
    });
  }
}
