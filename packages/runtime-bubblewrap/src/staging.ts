/**
 * Where we are root, bwrap runs as a user who may not walk to the machine's directories, which lie
 * behind directories of mode 0700. So they are first bound to a place that anyone may walk to, in a
 * mount namespace that only this machine's bwrap is in.
 */
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { InsienError } from "@insien/protocol";
import type { Host } from "./host.ts";

/** Host directories that a machine is given, by what they are in it. */
export interface MachineDirectories {
  home: string;
  tmp: string;
  kit: string;
  line: string;
  etc: string;
}

export interface Staging {
  /** Where bwrap finds them. */
  directories: MachineDirectories;
  /** The start of an argv that runs the rest where that is so. */
  prefix: string[];
}

/** Empty directories of every Linux system; what they show is covered for bwrap only. */
const PLACES = ["/mnt", "/media", "/srv", "/opt"];
const MOUNT_ALL = `"$0" --all --no-mtab --fstab "$1" && shift && exec "$@"`;

/** Writes what is to be mounted to `tablePath`, and says how. */
export async function stage(
  host: Host,
  directories: MachineDirectories,
  tablePath: string,
): Promise<Staging> {
  if (host.root === undefined) return { directories, prefix: [] };
  const { mount, unshare } = host.root;
  const place = placeBeside(Object.values(directories));
  const staged = Object.keys(directories).map((name) => [name, `${place}/${name}`]);
  const table = [
    `insien ${place} tmpfs mode=0711,size=64k 0 0`,
    ...Object.entries(directories).map(
      ([name, path]) => `${escapeSpaces(path)} ${place}/${name} none bind,X-mount.mkdir=0711 0 0`,
    ),
  ];
  await writeFile(tablePath, `${table.join("\n")}\n`, { mode: 0o600 });
  return {
    directories: Object.fromEntries(staged) as MachineDirectories & Record<string, string>,
    prefix: [
      ...[unshare, "--mount", "--propagation", "private", "--"],
      ...[host.shell, "-c", MOUNT_ALL, mount, tablePath],
    ],
  };
}

/** A place that does not cover any of the directories themselves. */
function placeBeside(paths: readonly string[]): string {
  const place = PLACES.find(
    (place) => existsSync(place) && !paths.some((path) => path.startsWith(`${place}/`)),
  );
  if (place !== undefined) return place;
  throw new InsienError("create_failed", `None of ${PLACES.join(", ")} can be used to start from`);
}

/** The table's own way to write what would end a field. */
const escapeSpaces = (path: string): string =>
  path.replaceAll(
    /[\\\s]/g,
    (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, "0")}`,
  );
