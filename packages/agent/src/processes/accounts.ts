/** Users of the machine, read from its /etc/passwd and /etc/group: no name service is asked. */
import { readFileSync } from "node:fs";
import { InsienError } from "@insien/protocol";

export interface Account {
  name: string;
  uid: number;
  gid: number;
  /** Further groups, the first one excluded. */
  groups: readonly number[];
  home: string;
  shell: string;
}

const DEFAULT_SHELL = "/bin/sh";
const NUMERIC = /^\d{1,10}$/;

export interface AccountFiles {
  passwd: string;
  group: string;
}

function readAccountFiles(): AccountFiles {
  return { passwd: readText("/etc/passwd"), group: readText("/etc/group") };
}

/** An image without the file simply has no named users. */
function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Looks up a name or a number (which need not have a line). `undefined` for an unknown name. */
export function findAccount(user: string, files: AccountFiles): Account | undefined {
  const number = NUMERIC.test(user) ? Number(user) : undefined;
  for (const line of files.passwd.split("\n")) {
    const [name, , uid, gid, , home, shell] = line.split(":");
    if (name === undefined || uid === undefined || gid === undefined || !NUMERIC.test(uid))
      continue;
    if (name !== user && Number(uid) !== number) continue;
    return {
      name,
      uid: Number(uid),
      gid: Number(gid),
      groups: groupsOf(name, Number(gid), files.group),
      home: home === undefined || home === "" ? "/" : home,
      shell: shell === undefined || shell === "" ? DEFAULT_SHELL : shell,
    };
  }
  if (number === undefined) return undefined;
  return { name: user, uid: number, gid: number, groups: [], home: "/", shell: DEFAULT_SHELL };
}

function groupsOf(name: string, primary: number, group: string): number[] {
  const groups: number[] = [];
  for (const line of group.split("\n")) {
    const [, , gid, members] = line.split(":");
    if (gid === undefined || members === undefined || !members.split(",").includes(name)) continue;
    if (Number(gid) !== primary) groups.push(Number(gid));
  }
  return groups;
}

/** Remembers what was looked up until /etc/passwd is written to. */
export class Accounts {
  readonly #preferred: string | undefined;
  readonly #found = new Map<string, Account>();
  #readAt = 0;
  #files: AccountFiles = { passwd: "", group: "" };

  /** `preferred`: the default user of commands; absent: `user` when it exists, else the agent's own. */
  constructor(preferred: string | undefined) {
    this.#preferred = preferred;
  }

  /** Throws `user_not_found`. */
  find(user: string): Account {
    this.#refresh();
    const known = this.#found.get(user);
    if (known !== undefined) return known;
    const account = findAccount(user, this.#files);
    if (account === undefined) {
      throw new InsienError("user_not_found", `the sandbox has no user "${user}"`, {
        details: { user },
      });
    }
    this.#found.set(user, account);
    return account;
  }

  /** Who commands run as when nothing else is asked for. */
  default(): Account {
    if (this.#preferred !== undefined) return this.find(this.#preferred);
    this.#refresh();
    if (process.getuid?.() === 0) {
      const user = findAccount("user", this.#files);
      if (user !== undefined) return this.find("user");
    }
    return this.find(String(process.getuid?.() ?? 0));
  }

  /** Re-reading costs two small reads, so within one second what was read is believed. */
  #refresh(): void {
    const now = performance.now();
    if (this.#readAt !== 0 && now - this.#readAt < 1000) return;
    const files = readAccountFiles();
    if (files.passwd !== this.#files.passwd || files.group !== this.#files.group)
      this.#found.clear();
    this.#files = files;
    this.#readAt = now;
  }
}
