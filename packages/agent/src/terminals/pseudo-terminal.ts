/**
 * A pseudo-terminal and the program on it, made with the C library's own calls: the program starts
 * like any command, is reaped like one, and no further addon is carried into the machine.
 */
import { constants } from "node:fs";
import { InsienError } from "@insien/protocol";
import type { Libc } from "../native/libc.ts";
import { asAccount } from "../processes/credentials.ts";
import { bindSpawn, FIRST_OTHER_DESCRIPTOR, type SpawnRequest } from "../processes/spawn.ts";

const O_CLOEXEC = 0o2000000;
const OPEN_FLAGS = constants.O_RDWR | constants.O_NOCTTY | constants.O_NONBLOCK | O_CLOEXEC;
const TIOCSWINSZ = 0x5414;
const NAME_BYTES = 64;

interface Size {
  cols: number;
  rows: number;
}

export type TerminalSpawnRequest = Omit<SpawnRequest, "stdin"> & Size;

/** `master` is the descriptor that the terminal is read and written by. */
export type TerminalSpawn = { pid: number; master: number } | { errno: number };

export type PseudoTerminals = ReturnType<typeof bindPseudoTerminals>;

export function bindPseudoTerminals(libc: Libc) {
  const bind = (declaration: string) => libc.library.func(declaration);
  const native = bindSpawn(libc);
  const openMaster = bind("int posix_openpt(int flags)");
  const unlock = bind("int unlockpt(int fd)");
  const nameOf = bind("int ptsname_r(int fd, void *name, size_t bytes)");
  const control = bind("int ioctl(int fd, unsigned long request, void *argument)");
  const foreground = bind("int tcgetpgrp(int fd)");
  const pid = new Int32Array(1);

  const open = (): { master: number; slave: string } => {
    const master = openMaster(OPEN_FLAGS);
    const name = Buffer.alloc(NAME_BYTES);
    if (master >= 0 && unlock(master) === 0 && nameOf(master, name, NAME_BYTES) === 0) {
      return { master, slave: name.toString("latin1", 0, name.indexOf(0)) };
    }
    if (master >= 0) libc.close(master);
    throw new InsienError(
      "capability_missing",
      "this machine gives out no pseudo-terminals (/dev/ptmx)",
    );
  };

  const resize = (master: number, { cols, rows }: Size): void => {
    control(master, TIOCSWINSZ, Uint16Array.of(rows, cols, 0, 0));
  };

  return {
    resize,
    /** The process group that the keyboard's signals go to, as `^C` does. */
    foregroundGroup(master: number): number | undefined {
      const group = foreground(master);
      return group > 0 ? group : undefined;
    },
    /** Opened as the account, so that the terminal's device belongs to it. */
    spawn: (request: TerminalSpawnRequest): TerminalSpawn =>
      asAccount(libc, request.account, () => {
        const { master, slave } = open();
        resize(master, request);
        native.begin();
        // The first terminal that a session's leader opens becomes the session's own.
        native.open(0, slave, constants.O_RDWR);
        native.duplicate(0, 1);
        native.duplicate(0, 2);
        native.closeFrom(FIRST_OTHER_DESCRIPTOR);
        native.changeDirectory(request.cwd);
        const errno = native.spawn(pid, request.file, request.argv, request.env);
        if (errno === 0) return { pid: pid[0] ?? 0, master };
        libc.close(master);
        return { errno };
      }),
  };
}
