/**
 * A machine on disk: `<dataDirectory>/machines/<machineId>/` with
 *
 *     machine.json   what it is, and which processes it is
 *     status.json    written by bwrap itself: the first process, and how it ended
 *     log            what the agent and bwrap print
 *     home/ tmp/     the machine's files
 *
 * Everything a new orchestrator needs to know is read from here.
 */
import {
  chown,
  mkdir,
  readdir,
  readFile,
  rename,
  stat,
  truncate,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";
import { asMachineId, LIMITS, newId, type MachineId } from "@insien/protocol";
import type { Machine, MachineLimits, VolumeMount } from "@insien/runtime";
import type { ProcessIdentity } from "./process-identity.ts";

export interface MachineRecord {
  ownerId: string;
  machineId: MachineId;
  templateName: string;
  fingerprint: string;
  labels: Readonly<Record<string, string>>;
  createdAt: string;
  limits: MachineLimits;
  network: "none" | "internet";
  lineDirectory: string;
  volumes?: readonly VolumeMount[];
  /** The host's user that the machine runs as, where it is not the orchestrator's own. */
  hostUid?: number;
  /** What should be. A machine that should run and does not has exited. */
  wanted: "running" | "stopped";
  /** Absent while the machine is being started. */
  processes?: MachineProcesses;
  exitReason?: string;
}

export interface MachineProcesses {
  /** bwrap outside of the machine, which waits for the first process and notes its exit code. */
  monitor: ProcessIdentity;
  /** The machine's first process, as the host sees it. */
  first: ProcessIdentity;
  /** The user-mode network, when it has one. */
  network?: ProcessIdentity;
}

/** What bwrap notes: a first line when it starts, a second when its child ended. */
export interface BubblewrapStatus {
  firstPid?: number | undefined;
  pidNamespace?: number | undefined;
  exitCode?: number | undefined;
}

const MAKING_PREFIX = ".making-";
const REMOVED_PREFIX = ".removed-";
/** Younger ones may be another instance's work under way. */
const REMAINS_AGE_MS = 60_000;

export class MachineStore {
  readonly #root: string;

  constructor(dataDirectory: string) {
    this.#root = join(dataDirectory, "machines");
  }

  path(machineId: MachineId, name = ""): string {
    return join(this.#root, machineId, name);
  }

  /** Makes the machine's directory with all that belongs in it. Throws when there is one. */
  async make(record: MachineRecord): Promise<void> {
    const making = join(this.#root, `${MAKING_PREFIX}${newId()}`);
    // A machine's own user walks through these to its home; only names it knows lead on.
    await mkdir(making, { recursive: true, mode: 0o711 });
    for (const name of ["home", "tmp"]) {
      await mkdir(join(making, name), { mode: 0o700 });
      if (record.hostUid !== undefined)
        await chown(join(making, name), record.hostUid, record.hostUid);
    }
    await writeFile(join(making, "machine.json"), JSON.stringify(record), { mode: 0o600 });
    await rename(making, this.path(record.machineId));
  }

  /** Replaces machine.json at once: a reader sees the old or the new one. */
  async write(record: MachineRecord): Promise<void> {
    const path = this.path(record.machineId, "machine.json");
    const temporary = `${path}.${newId()}`;
    await writeFile(temporary, JSON.stringify(record), { mode: 0o600 });
    await rename(temporary, path);
  }

  async read(machineId: MachineId): Promise<MachineRecord | undefined> {
    const text = await readFile(this.path(machineId, "machine.json"), "utf8").catch(() => "");
    return text === "" ? undefined : (JSON.parse(text) as MachineRecord);
  }

  async status(machineId: MachineId): Promise<BubblewrapStatus> {
    const text = await readFile(this.path(machineId, "status.json"), "utf8").catch(() => "");
    return parseStatus(text);
  }

  /** The last lines that the agent or bwrap printed. */
  async logTail(machineId: MachineId): Promise<string> {
    const text = await readFile(this.path(machineId, "log"), "utf8").catch(() => "");
    return text.slice(-LIMITS.lastWordsBytes.value).trim();
  }

  /** Machines of all owners. */
  async machineIds(): Promise<MachineId[]> {
    const names = await readdir(this.#root).catch(() => []);
    return names.flatMap((name) => asMachineId(name) ?? []);
  }

  /** The records of all owners' machines. */
  async all(): Promise<MachineRecord[]> {
    const machineIds = await this.machineIds();
    const records = await Promise.all(machineIds.map((machineId) => this.read(machineId)));
    return records.filter((record) => record !== undefined);
  }

  /** Directories that an interrupted creation or removal left. */
  async remains(): Promise<string[]> {
    const names = await readdir(this.#root).catch(() => []);
    const paths: string[] = [];
    for (const name of names) {
      if (!name.startsWith(MAKING_PREFIX) && !name.startsWith(REMOVED_PREFIX)) continue;
      const path = join(this.#root, name);
      const changedAt = (await stat(path).catch(() => undefined))?.ctimeMs ?? Date.now();
      if (Date.now() - changedAt > REMAINS_AGE_MS) paths.push(path);
    }
    return paths;
  }

  /** Starts logs anew that have grown too long; their writers append. */
  async boundLogs(): Promise<void> {
    for (const machineId of await this.machineIds()) {
      const path = this.path(machineId, "log");
      const size = (await stat(path).catch(() => undefined))?.size ?? 0;
      if (size > LIMITS.machineLogBytes.value) await truncate(path).catch(() => undefined);
    }
  }

  /** Takes the machine off the list in one step; its files are then at the path returned. */
  async detach(machineId: MachineId): Promise<string> {
    const remains = join(this.#root, `${REMOVED_PREFIX}${newId()}`);
    await rename(this.path(machineId), remains);
    return remains;
  }
}

export function machineOf(record: MachineRecord, state: Machine["state"]): Machine {
  return {
    machineId: record.machineId,
    state,
    ...(state === "exited" ? { exitReason: record.exitReason ?? "it ended" } : {}),
    templateName: record.templateName,
    fingerprint: record.fingerprint,
    labels: record.labels,
    createdAt: new Date(record.createdAt),
  };
}

function parseStatus(text: string): BubblewrapStatus {
  const status: BubblewrapStatus = {};
  // The last line may still be being written.
  for (const line of text.split("\n").slice(0, -1)) {
    const values = JSON.parse(line) as Record<string, number>;
    status.firstPid = values["child-pid"] ?? status.firstPid;
    status.pidNamespace = values["pid-namespace"] ?? status.pidNamespace;
    status.exitCode = values["exit-code"] ?? status.exitCode;
  }
  return status;
}
