import { InsienError, LIMITS, newId, type AgentEvent, type CommandFields } from "@insien/protocol";
import { ERRNO, type Libc } from "../native/libc.ts";
import type { Children } from "./children.ts";
import {
  candidates,
  readCommand,
  spawnError,
  type Command,
  type CommandDefaults,
} from "./command.ts";
import { RunningProcess, type ProcessOptions } from "./running-process.ts";
import { isMissing, makeSpawner, type Spawned, type Spawner } from "./spawn.ts";

export interface ProcessTableOptions {
  libc: Libc;
  children: Children;
  /** The defaults for a user by name, or for the default user. Throws `user_not_found`. */
  defaultsFor: (user: string | undefined) => CommandDefaults;
  report: (event: AgentEvent) => void;
}

/** All commands of the sandbox: the running ones and the last ended ones. */
export class ProcessTable {
  readonly #options: ProcessTableOptions;
  readonly #spawn: Spawner;
  readonly #running = new Map<string, RunningProcess>();
  readonly #ended = new Map<string, RunningProcess>();

  constructor(options: ProcessTableOptions) {
    this.#options = options;
    this.#spawn = makeSpawner(options.libc);
  }

  get runningCount(): number {
    return this.#running.size;
  }

  list(): RunningProcess[] {
    return [...this.#ended.values(), ...this.#running.values()];
  }

  running(): IterableIterator<RunningProcess> {
    return this.#running.values();
  }

  /** Throws `process_not_found`. */
  get(processId: string): RunningProcess {
    const found = this.#running.get(processId) ?? this.#ended.get(processId);
    if (found !== undefined) return found;
    throw new InsienError("process_not_found", `there is no process ${processId}`, {
      details: { processId },
    });
  }

  /** Throws the reason when it cannot start. */
  start(
    fields: CommandFields & { stdin?: boolean | undefined },
    options: ProcessOptions,
  ): RunningProcess {
    if (this.#running.size >= LIMITS.processesPerSandbox.value) {
      throw new InsienError(
        "limit_reached",
        `${this.#running.size} commands are running, which is the most`,
      );
    }
    const command = readCommand(fields, this.#options.defaultsFor(fields.user));
    const spawned = this.#spawnFirst(command, fields.stdin ?? false);
    const { libc, children } = this.#options;
    const started = new RunningProcess(libc, { processId: newId(), command, spawned }, options);
    children.watch(started.pid, (status) => started.exited(status));
    this.#running.set(started.processId, started);
    started.whenEnded(() => this.#retire(started));
    this.#reportStart(started);
    return started;
  }

  #spawnFirst(command: Command, stdin: boolean): Spawned {
    const { account, cwd } = command;
    const env = Object.entries(command.env).map(([name, value]) => `${name}=${value}`);
    let errno: number | undefined;
    for (const file of candidates(this.#options.libc, command)) {
      const request = { file, argv: command.argv, env, cwd, account, stdin };
      let result = this.#spawn(request);
      // A script without a first line that names its interpreter is the shell's, as execvp has it.
      if ("errno" in result && result.errno === ERRNO.ENOEXEC) {
        const argv = ["/bin/sh", file, ...command.argv.slice(1)];
        result = this.#spawn({ ...request, file: "/bin/sh", argv });
      }
      if (!("errno" in result)) return result;
      errno = result.errno;
      if (!isMissing(errno) && errno !== ERRNO.EACCES) break;
    }
    throw spawnError(command, errno);
  }

  #retire(ended: RunningProcess): void {
    this.#running.delete(ended.processId);
    this.#ended.set(ended.processId, ended);
    this.#forget();
    this.#reportEnd(ended);
  }

  /** Oldest first, by number and by the memory that their output takes. */
  #forget(): void {
    let bytes = 0;
    for (const process of [...this.#ended.values()].reverse()) {
      bytes += process.stdout.ring.bytes + process.stderr.ring.bytes;
      if (bytes > LIMITS.endedOutputBytes.value) process.dropOutput();
    }
    for (const processId of this.#ended.keys()) {
      if (this.#ended.size <= LIMITS.endedProcessesKept.value) return;
      this.#ended.delete(processId);
    }
  }

  #reportStart(process: RunningProcess): void {
    const { processId, cwd, user, background, startedAt, ...info } = process.info();
    const at = startedAt;
    const command = info.command
      .slice(0, LIMITS.recordedArguments.value)
      .map((argument) => argument.slice(0, LIMITS.recordedArgumentCharacters.value));
    this.#options.report({ type: "started", processId, command, cwd, user, background, at });
  }

  #reportEnd({ processId, end }: RunningProcess): void {
    if (end === undefined) return;
    const { at, error, ...rest } = end;
    this.#options.report({
      type: "ended",
      processId,
      ...rest,
      ...(error === undefined ? {} : { error: { code: error.code, message: error.message } }),
      at: at.toISOString(),
    });
  }
}
