/**
 * Numbers of the system calls that the filter names, for the two architectures it is made for.
 * `undefined`: the architecture has no such call.
 */
export type Architecture = "x64" | "arm64";

/** Refused with EPERM whatever their arguments are. */
const DENIED: ReadonlyArray<readonly [name: string, x64: number, arm64: number | undefined]> = [
  // The kernel's key rings are not namespaced.
  ["add_key", 248, 217],
  ["request_key", 249, 218],
  ["keyctl", 250, 219],
  // Large parts of the kernel with a long list of past holes, which sandboxed programs do without.
  ["bpf", 321, 280],
  ["perf_event_open", 298, 241],
  ["userfaultfd", 323, 282],
  ["io_uring_setup", 425, 425],
  ["io_uring_enter", 426, 426],
  ["io_uring_register", 427, 427],
  ["modify_ldt", 154, undefined],
  ["fanotify_init", 300, 262],
  // Mounts: the machine's view of the file system is made once, from outside.
  ["mount", 165, 40],
  ["umount2", 166, 39],
  ["pivot_root", 155, 41],
  ["chroot", 161, 51],
  ["open_tree", 428, 428],
  ["move_mount", 429, 429],
  ["fsopen", 430, 430],
  ["fsconfig", 431, 431],
  ["fsmount", 432, 432],
  ["fspick", 433, 433],
  ["mount_setattr", 442, 442],
  ["open_tree_attr", 467, 467],
  ["setns", 308, 268],
  // File handles pass by the directory permissions on the way to a file.
  ["name_to_handle_at", 303, 264],
  ["open_by_handle_at", 304, 265],
  // Other processes' memory and descriptors. ptrace stays, for debuggers and strace: it reaches
  // only processes of the same machine, which all run as one user anyway.
  ["process_vm_readv", 310, 270],
  ["process_vm_writev", 311, 271],
  ["process_madvise", 440, 440],
  ["pidfd_getfd", 438, 438],
  ["kcmp", 312, 272],
  ["migrate_pages", 256, 238],
  ["move_pages", 279, 239],
  // The host as a whole: kernel, modules, clock, swap, quotas, accounting, console.
  ["kexec_load", 246, 104],
  ["kexec_file_load", 320, 294],
  ["init_module", 175, 105],
  ["finit_module", 313, 273],
  ["delete_module", 176, 106],
  ["create_module", 174, undefined],
  ["get_kernel_syms", 177, undefined],
  ["query_module", 178, undefined],
  ["reboot", 169, 142],
  ["swapon", 167, 224],
  ["swapoff", 168, 225],
  ["settimeofday", 164, 170],
  ["clock_settime", 227, 112],
  ["clock_adjtime", 305, 266],
  ["sethostname", 170, 161],
  ["setdomainname", 171, 162],
  ["quotactl", 179, 60],
  ["quotactl_fd", 443, 443],
  ["acct", 163, 89],
  ["syslog", 103, 116],
  ["vhangup", 153, 58],
  ["iopl", 172, undefined],
  ["ioperm", 173, undefined],
  ["lookup_dcookie", 212, 18],
  ["nfsservctl", 180, 42],
  ["uselib", 134, undefined],
  ["ustat", 136, undefined],
  ["sysfs", 139, undefined],
  ["_sysctl", 156, undefined],
];

/** Calls whose arguments decide. */
const EXAMINED = {
  clone: { x64: 56, arm64: 220 },
  unshare: { x64: 272, arm64: 97 },
  clone3: { x64: 435, arm64: 435 },
  socket: { x64: 41, arm64: 198 },
  ioctl: { x64: 16, arm64: 29 },
  personality: { x64: 135, arm64: 92 },
} as const;

/** The last number that this table was compared with (file_setattr of Linux 6.17). */
export const LAST_KNOWN_SYSCALL = 469;

export const deniedSyscalls = (architecture: Architecture): number[] =>
  DENIED.flatMap(([, x64, arm64]) => {
    const number = architecture === "x64" ? x64 : arm64;
    return number === undefined ? [] : [number];
  });

export const examinedSyscall = (name: keyof typeof EXAMINED, architecture: Architecture): number =>
  EXAMINED[name][architecture];
