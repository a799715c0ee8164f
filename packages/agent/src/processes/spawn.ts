/**
 * Starts a program with `posix_spawn`: no copy of the agent's address space, half the time of Node's
 * own `spawn`, and real pipes, which unlike Node's sockets may be opened again as /dev/stderr.
 */
import { openSync } from "node:fs";
import { ERRNO, type Libc } from "../native/libc.ts";
import type { Account } from "./accounts.ts";
import { asAccount } from "./credentials.ts";

export interface SpawnRequest {
  /** Absolute, or relative to `cwd`. */
  file: string;
  argv: readonly string[];
  env: readonly string[];
  cwd: string;
  account: Account;
  /** A pipe to write to; else the program reads end-of-file. */
  stdin: boolean;
}

export interface Spawned {
  pid: number;
  stdin: number | undefined;
  stdout: number;
  stderr: number;
}

export type Spawner = (request: SpawnRequest) => Spawned | { errno: number };

const FLAGS = { setSignalDefaults: 0x04, setSignalMask: 0x08, setSession: 0x80 };
/** The opaque structs are 336, 80 and 128 bytes in the GNU C library. */
const ATTRIBUTES_BYTES = 512;
const ACTIONS_BYTES = 128;
const SIGNAL_SET_BYTES = 128;
export const FIRST_OTHER_DESCRIPTOR = 3;
const TOO_MANY_DESCRIPTORS = 24;

export function makeSpawner(libc: Libc): Spawner {
  const native = bindSpawn(libc);
  const nothing = openNothing(libc);
  const pid = new Int32Array(1);

  return (request) =>
    asAccount(libc, request.account, () => {
      const pipes = openPipes(libc, request.stdin);
      if (pipes === undefined) return { errno: TOO_MANY_DESCRIPTORS };
      const { input, output, error } = pipes;
      native.begin();
      native.duplicate(input?.[0] ?? nothing, 0);
      native.duplicate(output[1], 1);
      native.duplicate(error[1], 2);
      native.closeFrom(FIRST_OTHER_DESCRIPTOR);
      native.changeDirectory(request.cwd);
      const errno = native.spawn(pid, request.file, request.argv, request.env);
      if (input !== undefined) libc.close(input[0]);
      libc.close(output[1]);
      libc.close(error[1]);
      if (errno === 0) {
        return { pid: pid[0] ?? 0, stdin: input?.[1], stdout: output[0], stderr: error[0] };
      }
      if (input !== undefined) libc.close(input[1]);
      libc.close(output[0]);
      libc.close(error[0]);
      return { errno };
    });
}

function openPipes(libc: Libc, withInput: boolean) {
  const pairs: [number, number][] = [];
  for (let count = withInput ? 3 : 2; count > 0; count -= 1) {
    const pair = libc.pipe();
    if (pair === undefined) {
      for (const fd of pairs.flat()) libc.close(fd);
      return undefined;
    }
    pairs.push(pair);
  }
  const [output, error, input] = pairs;
  return output === undefined || error === undefined ? undefined : { output, error, input };
}

/** What reads as end-of-file: /dev/null, or in an image without it a pipe that nobody writes to. */
function openNothing(libc: Libc): number {
  try {
    return openSync("/dev/null", "r");
  } catch {
    const pair = libc.pipe();
    if (pair === undefined) throw new Error("cannot open a pipe");
    libc.close(pair[1]);
    return pair[0];
  }
}

/** The pieces of `posix_spawn`: `begin`, the actions in their order, then `spawn`. */
export function bindSpawn({ library }: Libc) {
  const bind = (declaration: string) => library.func(declaration);
  const prefix = "int posix_spawn_file_actions_";
  const init = bind(`${prefix}init(void *actions)`);
  const destroy = bind(`${prefix}destroy(void *actions)`);
  const duplicate = bind(`${prefix}adddup2(void *actions, int from, int to)`);
  const open = bind(
    `${prefix}addopen(void *actions, int fd, const char *path, int flags, uint mode)`,
  );
  const changeDirectory = bind(`${prefix}addchdir_np(void *actions, const char *path)`);
  const closeFrom = bind(`${prefix}addclosefrom_np(void *actions, int first)`);
  const spawn = bind(
    "int posix_spawn(void *pid, const char *file, void *actions, void *attributes, " +
      "const char **argv, const char **env)",
  );
  const attributes = makeAttributes(bind);
  const actions = Buffer.alloc(ACTIONS_BYTES);
  return {
    begin: () => void init(actions),
    duplicate: (from: number, to: number) => void duplicate(actions, from, to),
    /** In the child, which has a session of its own by then. */
    open: (fd: number, path: string, flags: number) => void open(actions, fd, path, flags, 0),
    changeDirectory: (path: string) => void changeDirectory(actions, path),
    closeFrom: (first: number) => void closeFrom(actions, first),
    spawn(pid: Int32Array, file: string, argv: readonly string[], env: readonly string[]): number {
      try {
        return spawn(pid, file, actions, attributes, [...argv, null], [...env, null]);
      } finally {
        destroy(actions);
      }
    },
  };
}

/** A session of its own, with no signal blocked or ignored: what Node ignores, commands must not. */
function makeAttributes(bind: (declaration: string) => (...values: unknown[]) => unknown): Buffer {
  const attributes = Buffer.alloc(ATTRIBUTES_BYTES);
  bind("int posix_spawnattr_init(void *attributes)")(attributes);
  const setDefaults = bind("int posix_spawnattr_setsigdefault(void *attributes, void *set)");
  setDefaults(attributes, Buffer.alloc(SIGNAL_SET_BYTES, 0xff));
  const setMask = bind("int posix_spawnattr_setsigmask(void *attributes, void *set)");
  setMask(attributes, Buffer.alloc(SIGNAL_SET_BYTES));
  const setFlags = bind("int posix_spawnattr_setflags(void *attributes, int16_t flags)");
  setFlags(attributes, FLAGS.setSignalDefaults | FLAGS.setSignalMask | FLAGS.setSession);
  return attributes;
}

export const isMissing = (errno: number): boolean =>
  errno === ERRNO.ENOENT || errno === ERRNO.ENOTDIR || errno === ERRNO.ELOOP;
