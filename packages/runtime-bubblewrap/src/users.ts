/**
 * Where we are root, each machine runs as a user of the host that nobody else is: nothing inside
 * ever maps to root, one machine's files are no other's, and the kernel counts its processes apart.
 */
import { createHash } from "node:crypto";
import type { MachineId } from "@insien/protocol";
import type { MachineStore } from "./machine-record.ts";

/** Above systemd's ranges for containers and dynamic users, and what /etc/subuid hands out. */
const FIRST_UID = 1_900_000_000;
const UIDS = 200_000_000;
/** For trying things out before there are machines. */
export const PROBE_UID = FIRST_UID + UIDS;

export class UserPool {
  readonly #store: MachineStore;
  #taken: Promise<Set<number>> | undefined;

  constructor(store: MachineStore) {
    this.#store = store;
  }

  /** A number no machine on disk has: drawn from the machine's id, or the next that is free. */
  async take(machineId: MachineId): Promise<number> {
    this.#taken ??= this.#recorded();
    const taken = await this.#taken;
    const hash = createHash("sha256").update(machineId).digest().readUInt32BE();
    let uid = FIRST_UID + (hash % UIDS);
    while (taken.has(uid)) uid = FIRST_UID + ((uid + 1 - FIRST_UID) % UIDS);
    taken.add(uid);
    return uid;
  }

  async free(uid: number): Promise<void> {
    (await this.#taken)?.delete(uid);
  }

  async #recorded(): Promise<Set<number>> {
    const machineIds = await this.#store.machineIds();
    const records = await Promise.all(machineIds.map((machineId) => this.#store.read(machineId)));
    return new Set(records.flatMap((record) => record?.hostUid ?? []));
  }
}

/** The start of an argv that runs the rest as this user, with no group and no capability left. */
export const dropTo = (setpriv: string, uid: number): string[] => [
  setpriv,
  `--reuid=${uid}`,
  `--regid=${uid}`,
  "--clear-groups",
  "--inh-caps=-all",
  "--bounding-set=-all",
  "--",
];
