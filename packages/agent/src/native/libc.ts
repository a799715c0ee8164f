/**
 * The few calls of the C library that Node lacks: real pipes, `posix_spawn`, reaping, and credentials
 * of one thread. The kit brings its own C library, so the same symbols are there in every image.
 */
import type { LibraryHandle } from "koffi";
import { loadAddon } from "./addon.ts";

interface Koffi {
  load(path: string): LibraryHandle;
  errno(): number;
}

/** Numbers of the raw system calls; the C library's wrappers would change every thread. */
const SYSTEM_CALLS: Record<string, { setresuid: number; setresgid: number; setgroups: number }> = {
  x64: { setresuid: 117, setresgid: 119, setgroups: 116 },
  arm64: { setresuid: 147, setresgid: 149, setgroups: 159 },
};

export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ENOEXEC: 8,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  ENOTDIR: 20,
  E2BIG: 7,
  ELOOP: 40,
} as const;

const O_CLOEXEC = 0o2000000;
const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC = 0o2000001;
const F_SETPIPE_SZ = 1031;
const MADV_DONTNEED = 4;
const WNOHANG = 1;
const WEXITED = 4;
const WNOWAIT = 0x01000000;
const P_ALL = 0;
const X_OK = 1;

/** `struct siginfo_t` is 128 bytes; the pid lies at 16 in the view of a child's end. */
const SIGINFO_BYTES = 128;
const SIGINFO_PID_INDEX = 4;

export type Libc = ReturnType<typeof bindLibc>;

export function bindLibc() {
  const koffi = loadAddon<Koffi>("koffi.node");
  const library = koffi.load("libc.so.6");
  const bind = (declaration: string) => library.func(declaration);
  const numbers = SYSTEM_CALLS[process.arch];
  if (numbers === undefined)
    throw new Error(`the agent does not know the processor ${process.arch}`);

  const pipe2 = bind("int pipe2(void *fds, int flags)");
  const socketpair = bind("int socketpair(int domain, int type, int protocol, void *fds)");
  const fcntl = bind("int fcntl(int fd, int command, int value)");
  const write = bind("long write(int fd, const void *bytes, size_t count)");
  const close = bind("int close(int fd)");
  const access = bind("int access(const char *path, int mode)");
  const kill = bind("int kill(int pid, int number)");
  const waitpid = bind("int waitpid(int pid, void *status, int options)");
  const waitid = bind("int waitid(int kind, int id, void *info, int options)");
  const trim = bind("int malloc_trim(size_t keep)");
  const advise = bind("int madvise(uintptr_t start, size_t bytes, int advice)");
  const system = bind("long syscall(long number, long first, long second, long third)");
  const systemWithList = library.func("syscall", "long", ["long", "long", "void *"]);

  const descriptors = new Int32Array(2);
  const status = new Int32Array(1);
  const information = new Int32Array(SIGINFO_BYTES / Int32Array.BYTES_PER_ELEMENT);

  return {
    library,
    errno: (): number => koffi.errno(),
    /** [read end, write end], closed in children; `undefined` when there are too many descriptors. */
    pipe(): [number, number] | undefined {
      if (pipe2(descriptors, O_CLOEXEC) !== 0) return undefined;
      return [descriptors[0] ?? -1, descriptors[1] ?? -1];
    },
    /** Two ends of one stream, closed in children. */
    socketPair(): [number, number] | undefined {
      if (socketpair(AF_UNIX, SOCK_STREAM_CLOEXEC, 0, descriptors) !== 0) return undefined;
      return [descriptors[0] ?? -1, descriptors[1] ?? -1];
    },
    /** May be refused by the kernel's limit for the user; a smaller pipe works as well. */
    growPipe: (fd: number, bytes: number): boolean => fcntl(fd, F_SETPIPE_SZ, bytes) > 0,
    /** Bytes written, or -1 (see `errno`). */
    write: (fd: number, bytes: Uint8Array): number => Number(write(fd, bytes, bytes.byteLength)),
    close: (fd: number): void => void close(fd),
    executable: (path: string): boolean => access(path, X_OK) === 0,
    /** Negative pid: the process group. */
    kill: (pid: number, number: number): boolean => kill(pid, number) === 0,
    /** The child's wait status once it ended, which is then forgotten by the kernel. */
    reap: (pid: number): number | undefined =>
      waitpid(pid, status, WNOHANG) === pid ? (status[0] ?? 0) : undefined,
    /** A child of any kind that has ended and waits to be reaped. */
    endedChild(): number | undefined {
      information[SIGINFO_PID_INDEX] = 0;
      if (waitid(P_ALL, 0, information, WEXITED | WNOHANG | WNOWAIT) !== 0) return undefined;
      const pid = information[SIGINFO_PID_INDEX];
      return pid === 0 ? undefined : pid;
    },
    trimHeap: (): void => void trim(0),
    /** Unmaps pages that the kernel can bring back from their file. Only for memory never written to. */
    letGo: (start: bigint, bytes: bigint): void => void advise(start, bytes, MADV_DONTNEED),
    /** This thread only; children inherit it. -1 leaves an id as it is. */
    setThreadUser: (real: number, effective: number, saved: number): boolean =>
      Number(system(numbers.setresuid, real, effective, saved)) === 0,
    setThreadGroup: (real: number, effective: number, saved: number): boolean =>
      Number(system(numbers.setresgid, real, effective, saved)) === 0,
    setThreadGroups: (groups: Uint32Array): boolean =>
      Number(systemWithList(numbers.setgroups, groups.length, groups)) === 0,
  };
}
