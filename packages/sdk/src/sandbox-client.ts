/* oxlint-disable eslint/max-params -- These calls take what the Python client's take, in its order. */
/**
 * The second face of the SDK: one client for all sandboxes, with a sandbox's id as the first argument
 * of each call, as the Python client of the container manager has it.
 */
import { CLIENT_LIMITS as LIMITS } from "@insien/protocol/client-limits";
import { newSandboxId } from "@insien/protocol/ids";
import type { SandboxState } from "@insien/protocol/sandbox-states";
import { Keys } from "./account/keys.ts";
import { Maintenance } from "./account/maintenance.ts";
import { Quota } from "./account/quota.ts";
import { Volumes, type NfsOptions } from "./account/volumes.ts";
import { Webhooks } from "./account/webhooks.ts";
import { ApiClient } from "./api-client.ts";
import { executeCommand, type ExecOptions, type ExecutedCommand } from "./commands/exec.ts";
import type { Command } from "./commands/commands.ts";
import {
  commandLines,
  type CommandEnd,
  type LineStreamOptions,
  type OutputLine,
} from "./commands/line-stream.ts";
import { resolveConfiguration, type RequestOptions } from "./configuration.ts";
import type { CreateProgress } from "./create-progress.ts";
import {
  connectionLost,
  SandboxConnectionError,
  SandboxError,
  SandboxTimeoutError,
} from "./errors.ts";
import { openArchive, saveArchive } from "./files/archives.ts";
import type { FileContent } from "./files/files.ts";
import {
  parseCreateSandboxRequest,
  type CommandLine,
  type CreateSandboxRequest,
} from "./models/create-sandbox-request.ts";
import {
  createSandbox,
  destroySandbox,
  getSandbox,
  listSandboxes,
  switchSandbox,
} from "./sandbox-api.ts";
import type { SandboxInfo } from "./sandbox-info.ts";
import { getEntrypoint, updateEntrypoint, type EntrypointState } from "./settings/entrypoint.ts";
import {
  getEnvironment,
  updateEnvironment,
  type EnvironmentState,
} from "./settings/environment.ts";
import { mountVolume, unmountVolume } from "./volumes/sandbox-volumes.ts";
import {
  listVolumeDirectory,
  makeVolumeDirectory,
  readVolumeFile,
  writeVolumeFile,
  type VolumeFile,
} from "./volumes/volume-files.ts";
import type { MountChange, VolumeInfo } from "./volumes/volume-info.ts";
import { number, object, optional, requestOf } from "./wire/shape.ts";

export interface SandboxClientOptions {
  /** By default the environment's `INSIEN_API_KEY`. */
  apiKey?: string | undefined;
  /**
   * How long any one call may take. By default 30 s, and for what makes machines or images as long as
   * the server may take; files and streams have no limit. 0: no limit.
   */
  timeoutMs?: number | undefined;
}

export interface CallOptions {
  /** Ends the call with the signal's reason (an `AbortError` by default). */
  signal?: AbortSignal | undefined;
  /** Instead of the client's. */
  timeoutMs?: number | undefined;
}

export interface StreamCommandOptions extends CallOptions {
  cwd?: string | undefined;
  env?: Record<string, string> | undefined;
  user?: string | undefined;
  /** A non-zero exit code throws `command_failed` after the last line. */
  throwOnFailure?: boolean | undefined;
  /** `true`: gives `{ stream, line }` instead of the line alone. */
  labelled?: boolean | undefined;
}

export class SandboxClient implements AsyncDisposable {
  /** Volumes of the account; `createNetworkVolume` is one of its calls by another name. */
  readonly volumes: Volumes;
  readonly webhooks: Webhooks;
  readonly keys: Keys;
  readonly quota: Quota;
  readonly maintenance: Maintenance;
  readonly #api: ApiClient;
  readonly #timeoutMs: number | undefined;
  readonly #closing = new AbortController();

  /** Connects to nothing yet. Without an address it is `INSIEN_API_URL`. */
  constructor(url?: string, options: SandboxClientOptions = {}) {
    const { apiKey, timeoutMs } = options;
    const configuration = { apiKey, apiUrl: url, requestTimeoutMs: timeoutMs };
    this.#api = new ApiClient(resolveConfiguration(configuration));
    this.#timeoutMs = timeoutMs;
    this.volumes = new Volumes(this.#api);
    this.webhooks = new Webhooks(this.#api);
    this.keys = new Keys(this.#api);
    this.quota = new Quota(this.#api);
    this.maintenance = new Maintenance(this.#api);
  }

  /** Resolves when it runs. Absent limits are the models' defaults: 1 core, 512m. */
  async createSandbox(
    request: CreateSandboxRequest,
    options: CallOptions & { onProgress?: ((progress: CreateProgress) => void) | undefined } = {},
  ): Promise<SandboxInfo> {
    const parsed = parseCreateSandboxRequest(request);
    const id = newSandboxId();
    const { onProgress } = options;
    const call = this.#call(options);
    try {
      return await createSandbox(this.#api, id, parsed, { ...call, onProgress });
    } catch (error) {
      // A creation that nobody waits for any more must not leave a sandbox behind.
      if (isGivenUp(error)) destroySandbox(this.#api, id, {}).catch(() => undefined);
      throw error;
    }
  }

  /** With its files. `false` when it was gone already. */
  async deleteSandbox(id: string, options: CallOptions = {}): Promise<boolean> {
    return destroySandbox(this.#api, id, this.#call(options));
  }

  /** Its `state`, and everything else that is known of it. Throws `sandbox_not_found`. */
  async getSandboxStatus(id: string, options: CallOptions = {}): Promise<SandboxInfo> {
    return getSandbox(this.#api, id, this.#call(options));
  }

  /** All of them, newest first, or all that are in one state. */
  async listSandboxes(status?: SandboxState, options: CallOptions = {}): Promise<SandboxInfo[]> {
    const found: SandboxInfo[] = [];
    const call = { ...this.#call(options), state: status };
    for await (const sandbox of listSandboxes(this.#api, call)) found.push(sandbox);
    return found;
  }

  /** Ends its programs and keeps its files. They have `timeout` seconds to end by themselves. */
  async stopSandbox(id: string, timeout?: number, options: CallOptions = {}): Promise<SandboxInfo> {
    requestOf(stopArguments, { timeout });
    const graceMs = timeout === undefined ? undefined : Math.round(timeout * 1000);
    return switchSandbox(this.#api, id, "stop", { ...this.#call(options), graceMs });
  }

  async startSandbox(id: string, options: CallOptions = {}): Promise<SandboxInfo> {
    return switchSandbox(this.#api, id, "start", this.#call(options));
  }

  async restartSandbox(id: string, options: CallOptions = {}): Promise<SandboxInfo> {
    return switchSandbox(this.#api, id, "restart", this.#call(options));
  }

  /**
   * A text is a line for `sh -c`; a list is a program and its arguments. A non-zero exit code is a
   * result. A command that takes longer than `timeoutMs` is ended, with `command_timeout`; one whose
   * `signal` was aborted ends within a minute.
   */
  async executeCommand(
    id: string,
    command: Command,
    options: CallOptions & ExecOptions = {},
  ): Promise<ExecutedCommand> {
    const { timeoutMs: _timeoutMs, ...rest } = options;
    return executeCommand(this.#api, id, command, { ...rest, ...this.#call(options) });
  }

  /**
   * Lines of stdout and stderr as they are printed, without their ends, until the command ended; how
   * it ended is what the generator returns. Leaving the loop kills the command. There is no limit on
   * its time; lost connections are resumed.
   */
  streamCommand(
    id: string,
    command: Command,
    options: StreamCommandOptions & { labelled: true },
  ): AsyncGenerator<OutputLine, CommandEnd, undefined>;
  streamCommand(
    id: string,
    command: Command,
    options?: StreamCommandOptions & { labelled?: false | undefined },
  ): AsyncGenerator<string, CommandEnd, undefined>;
  async *streamCommand(
    id: string,
    command: Command,
    options: StreamCommandOptions = {},
  ): AsyncGenerator<string | OutputLine, CommandEnd, undefined> {
    const { cwd, env, user, throwOnFailure, labelled } = options;
    const call: LineStreamOptions = { cwd, env, user, throwOnFailure, ...this.#call(options) };
    const lines = commandLines(this.#api, id, command, call);
    try {
      for (;;) {
        const { done, value } = await lines.next();
        if (done === true) return value;
        yield labelled === true ? value : value.line;
      }
    } finally {
      await lines.return(undefined as never);
    }
  }

  /** `merge`: added to what there is (the default), otherwise instead of it. */
  async updateEnvironment(
    id: string,
    environment: Record<string, string>,
    merge = true,
    options: CallOptions = {},
  ): Promise<EnvironmentState> {
    return updateEnvironment(this.#api, id, environment, { merge, ...this.#call(options) });
  }

  async getEnvironment(id: string, options: CallOptions = {}): Promise<EnvironmentState> {
    return getEnvironment(this.#api, id, this.#call(options));
  }

  /** What is left out stays as it is; `null` takes it away. */
  async updateEntrypoint(
    id: string,
    entrypoint?: CommandLine | null,
    command?: CommandLine | null,
    options: CallOptions = {},
  ): Promise<EntrypointState> {
    return updateEntrypoint(this.#api, id, { entrypoint, command }, this.#call(options));
  }

  async getEntrypoint(id: string, options: CallOptions = {}): Promise<EntrypointState> {
    return getEntrypoint(this.#api, id, this.#call(options));
  }

  /** `volumeId` is a volume's id or name; `path` is inside the volume. */
  async listDirectory(
    id: string,
    volumeId: string,
    path: string,
    options: CallOptions = {},
  ): Promise<VolumeFile[]> {
    return listVolumeDirectory(this.#api, { id, volume: volumeId, path }, this.#call(options));
  }

  async makeDirectory(
    id: string,
    volumeId: string,
    path: string,
    options: CallOptions = {},
  ): Promise<void> {
    await makeVolumeDirectory(this.#api, { id, volume: volumeId, path }, this.#call(options));
  }

  /** As text (UTF-8). */
  async readFile(
    id: string,
    volumeId: string,
    path: string,
    options: CallOptions = {},
  ): Promise<string> {
    const place = { id, volume: volumeId, path };
    const answer = await readVolumeFile(this.#api, place, this.#call(options));
    return new TextDecoder().decode(await answer.bytes());
  }

  /** Replaces or makes a file. */
  async writeFile(
    id: string,
    volumeId: string,
    path: string,
    content: FileContent,
    options: CallOptions = {},
  ): Promise<void> {
    const body = content instanceof ArrayBuffer ? new Uint8Array(content) : content;
    await writeVolumeFile(this.#api, { id, volume: volumeId, path }, body, this.#call(options));
  }

  /** A local file into the volume, of any size. Not in browsers: `writeFile` takes a `Blob`. */
  async uploadFile(
    id: string,
    volumeId: string,
    path: string,
    filePath: string,
    options: CallOptions = {},
  ): Promise<void> {
    const place = { id, volume: volumeId, path };
    await writeVolumeFile(this.#api, place, { localPath: filePath }, this.#call(options));
  }

  /**
   * A folder of the sandbox as a zip: into the local file `outputPath`, which is then what is
   * returned, or without one as a stream. Of any size, in constant memory; symbolic links stay links.
   */
  exportContainer(
    id: string,
    folderPath: string,
    outputPath: string,
    options?: CallOptions,
  ): Promise<string>;
  exportContainer(
    id: string,
    folderPath: string,
    outputPath?: undefined,
    options?: CallOptions,
  ): Promise<ReadableStream<Uint8Array>>;
  async exportContainer(
    id: string,
    folderPath: string,
    outputPath?: string,
    options: CallOptions = {},
  ): Promise<string | ReadableStream<Uint8Array>> {
    const call = { ...this.#call(options), format: "zip" } as const;
    if (outputPath === undefined) return openArchive(this.#api, id, folderPath, call);
    await saveArchive(this.#api, id, { folderPath, localPath: outputPath }, call);
    return outputPath;
  }

  /** `driver` is "local" or "nfs"; the latter needs `nfs` among the options. */
  async createNetworkVolume(
    name: string,
    driver: "local" | "nfs" = "local",
    size?: string,
    mountPath?: string,
    options: CallOptions & { nfs?: NfsOptions | undefined } = {},
  ): Promise<VolumeInfo> {
    const request = { name, driver, size, mountPath, options: options.nfs };
    return this.volumes.create(request, this.#call(options));
  }

  /** `restarted` of the answer says whether it took a new machine; files are kept then. */
  async mountVolume(
    id: string,
    volumeName: string,
    mountPath?: string,
    options: CallOptions & { readOnly?: boolean | undefined } = {},
  ): Promise<MountChange> {
    const { readOnly } = options;
    const request = { volume: volumeName, mountPath, readOnly };
    return mountVolume(this.#api, id, request, this.#call(options));
  }

  async unmountVolume(
    id: string,
    volumeName: string,
    options: CallOptions = {},
  ): Promise<MountChange> {
    return unmountVolume(this.#api, id, volumeName, this.#call(options));
  }

  /** Ends calls that are under way and closes connections. Sandboxes stay as they are. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(connectionLost("a call on a closed client", true));
  }

  #call({ signal, timeoutMs = this.#timeoutMs }: CallOptions): RequestOptions {
    const closing = this.#closing.signal;
    if (closing.aborted) throw connectionLost("a call on a closed client", false);
    // A signal of its own for each call, so that nothing gathers on the client's.
    const either = AbortSignal.any(signal === undefined ? [closing] : [signal, closing]);
    return { signal: either, requestTimeoutMs: timeoutMs };
  }
}

const stopArguments = object<{ timeout?: number | undefined }>({
  timeout: optional(number(0, LIMITS.stopGraceMsMax.value / 1000)),
});

/** Whether the server may have gone on with what was asked of it. */
const isGivenUp = (error: unknown): boolean =>
  !(error instanceof SandboxError) ||
  error instanceof SandboxTimeoutError ||
  error instanceof SandboxConnectionError;
