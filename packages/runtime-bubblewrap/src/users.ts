/**
 * Where we are root, each machine runs as a user of the host that nobody else is: nothing inside
 * ever maps to root, one machine's files are no other's, and the kernel counts its processes apart.
 */
import { createHash } from "node:crypto";

/** Above systemd's ranges for containers and dynamic users and what /etc/subuid usually hands out. */
const FIRST_UID = 1_900_000_000;
const UIDS = 200_000_000;
/** For trying things out before there are machines. */
export const PROBE_UID = FIRST_UID + UIDS;

/** The same for the same machine wherever it is free, else the next that is. */
export function chooseUid(machineId: string, taken: ReadonlySet<number>): number {
  const hash = createHash("sha256").update(machineId).digest().readUInt32BE() % UIDS;
  let uid = FIRST_UID + hash;
  while (taken.has(uid)) uid = FIRST_UID + ((uid + 1 - FIRST_UID) % UIDS);
  return uid;
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
