/**
 * Where we are root, bwrap runs as a user who may not walk to directories that lie behind one of
 * mode 0700. Such are first bound to a place that anyone may walk to, in a mount namespace that only
 * this machine's bwrap is in. It costs some ten milliseconds, so it is done only where it must be.
 */
import { existsSync, realpathSync, statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { InsienError } from "@insien/protocol";
import type { Host } from "./host.ts";

/** Host directories that a machine is given, by what they are in it. */
export interface MachineDirectories {
  home: string;
  tmp: string;
  kit: string;
  line: string;
  etc: string;
  /** By their place in the machine's record. */
  [volume: `volume${number}`]: string;
}

export interface Staging {
  /** Where bwrap finds them. */
  directories: MachineDirectories;
  /** The start of an argv that runs the rest where that is so. */
  prefix: string[];
}

/** Empty directories of every Linux system; what they show is covered for bwrap only. */
const PLACES = ["/mnt", "/media", "/srv", "/opt"];
const ANYONE_MAY_ENTER = 0o001;
const MOUNT_ALL = `"$0" --all --no-mtab --fstab "$1" && shift && exec "$@"`;

/** Writes what is to be mounted to `tablePath`, and says how. */
export async function stage(
  host: Host,
  directories: MachineDirectories,
  tablePath: string,
): Promise<Staging> {
  if (host.root === undefined) return { directories, prefix: [] };
  const hidden = Object.entries(directories).filter(([, path]) => !isOpenToAll(realpathSync(path)));
  if (hidden.length === 0) return { directories, prefix: [] };
  const { mount, unshare } = host.root;
  const place = placeBeside(Object.values(directories));
  const staged = hidden.map(([name]) => [name, `${place}/${name}`]);
  const table = [
    `insien ${place} tmpfs mode=0711,size=64k 0 0`,
    ...hidden.map(
      ([name, path]) => `${escapeSpaces(path)} ${place}/${name} none bind,X-mount.mkdir=0711 0 0`,
    ),
  ];
  await writeFile(tablePath, `${table.join("\n")}\n`, { mode: 0o600 });
  return {
    directories: { ...directories, ...Object.fromEntries(staged) },
    prefix: [
      ...[unshare, "--mount", "--propagation", "private", "--"],
      ...[host.shell, "-c", MOUNT_ALL, mount, tablePath],
    ],
  };
}

/** Whether anyone may walk to the directory, by the permission bits of those above it. */
function isOpenToAll(path: string): boolean {
  const above = dirname(path);
  if ((statSync(above).mode & ANYONE_MAY_ENTER) === 0) return false;
  return above === "/" || isOpenToAll(above);
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
