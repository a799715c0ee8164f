/**
 * The seccomp filter of every machine: allow by default, refuse what a sandboxed program has no
 * use for (the lists of Docker and Flatpak, joined). It is the second wall: the first is that
 * machines hold no capability in any namespace.
 */
import { assemble, jump, jumpIf, label, load, returns, type Step } from "./program.ts";
import {
  deniedSyscalls,
  examinedSyscall,
  LAST_KNOWN_SYSCALL,
  type Architecture,
} from "./syscalls.ts";

const AUDIT_ARCHITECTURES: Record<Architecture, number> = { x64: 0xc000003e, arm64: 0xc00000b7 };
const ALLOW = 0x7fff0000;
const KILL_PROCESS = 0x80000000;
const failWith = (errno: number) => 0x00050000 | errno;
const EPERM = 1;
const ENOSYS = 38;
const EPROTONOSUPPORT = 93;
const EAFNOSUPPORT = 97;

// Offsets in `struct seccomp_data`; arguments are 64 bits wide, low half first.
const NUMBER = 0;
const ARCHITECTURE = 4;
const argument = (index: number) => 16 + index * 8;

/** Every CLONE_NEW* flag that `clone` knows, so that no namespace is ever made inside. */
const CLONE_NAMESPACES = 0x7e020000;
/** In `clone` this bit belongs to the exit signal; only `unshare` takes it for CLONE_NEWTIME. */
const CLONE_NEWTIME = 0x80;
const X32_BIT = 0x40000000;
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;
/** Linux, its 32-bit uname and 3 GiB layouts, and "tell me": what Docker allows too. */
const PERSONALITIES = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff];
const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const AF_NETLINK = 16;
/** Default, ICMP, TCP, UDP, ICMPv6, MPTCP: others would load kernel modules on demand. */
const INTERNET_PROTOCOLS = [0, 1, 6, 17, 58, 262];
/** Routes, socket listings (`ss`), device events. */
const NETLINK_PROTOCOLS = [0, 4, 15];

/** The filter as bytes for `bwrap --seccomp`. */
export function seccompFilter(architecture: Architecture): Buffer {
  return assemble([
    ...ownArchitectureOnly(architecture),
    jumpIf("at-least", LAST_KNOWN_SYSCALL + 1, "unknown"),
    ...deniedSyscalls(architecture).map((number) => jumpIf("equal", number, "denied")),
    ...examined(architecture),
    returns(ALLOW),
    label("unknown"),
    returns(failWith(ENOSYS)),
    label("denied"),
    returns(failWith(EPERM)),
    ...namespaces(),
    ...ioctls(),
    ...personalities(),
    ...sockets(),
  ]);
}

/** i386 and x32 calls have other numbers, which would pass by every line below. */
function ownArchitectureOnly(architecture: Architecture): Step[] {
  return [
    load(ARCHITECTURE),
    jumpIf("equal", AUDIT_ARCHITECTURES[architecture], "own architecture"),
    label("foreign"),
    returns(KILL_PROCESS),
    label("own architecture"),
    load(NUMBER),
    // -1 is what a debugger writes to skip a call; it is above every table and simply fails.
    jumpIf("equal", 0xffffffff, "own numbers"),
    ...(architecture === "x64" ? [jumpIf("at-least", X32_BIT, "x32")] : []),
    jump("own numbers"),
    label("x32"),
    returns(KILL_PROCESS),
    label("own numbers"),
  ];
}

function examined(architecture: Architecture): Step[] {
  const goTo = (name: Parameters<typeof examinedSyscall>[0], target: string) =>
    jumpIf("equal", examinedSyscall(name, architecture), target);
  return [
    goTo("clone", "clone"),
    goTo("unshare", "unshare"),
    // Its flags are behind a pointer, where no filter can look; libc then falls back to clone.
    goTo("clone3", "unknown"),
    goTo("ioctl", "ioctl"),
    goTo("personality", "personality"),
    goTo("socket", "socket"),
  ];
}

const namespaces = (): Step[] => [
  label("clone"),
  load(argument(0)),
  jumpIf("any-bit", CLONE_NAMESPACES, "namespace denied"),
  returns(ALLOW),
  label("unshare"),
  load(argument(0)),
  jumpIf("any-bit", CLONE_NAMESPACES | CLONE_NEWTIME, "namespace denied"),
  returns(ALLOW),
  label("namespace denied"),
  returns(failWith(EPERM)),
];

/** Both put characters into the input of a terminal that another program reads. */
const ioctls = (): Step[] => [
  label("ioctl"),
  load(argument(1)),
  jumpIf("equal", TIOCSTI, "ioctl denied"),
  jumpIf("equal", TIOCLINUX, "ioctl denied"),
  returns(ALLOW),
  label("ioctl denied"),
  returns(failWith(EPERM)),
];

const personalities = (): Step[] => [
  label("personality"),
  load(argument(0)),
  ...PERSONALITIES.map((value) => jumpIf("equal", value, "personality allowed")),
  returns(failWith(EPERM)),
  label("personality allowed"),
  returns(ALLOW),
];

const sockets = (): Step[] => [
  label("socket"),
  load(argument(0)),
  jumpIf("equal", AF_UNIX, "socket allowed"),
  jumpIf("equal", AF_INET, "internet socket"),
  jumpIf("equal", AF_INET6, "internet socket"),
  jumpIf("equal", AF_NETLINK, "netlink socket"),
  returns(failWith(EAFNOSUPPORT)),
  label("internet socket"),
  load(argument(2)),
  ...INTERNET_PROTOCOLS.map((value) => jumpIf("equal", value, "socket allowed")),
  returns(failWith(EPROTONOSUPPORT)),
  label("netlink socket"),
  load(argument(2)),
  ...NETLINK_PROTOCOLS.map((value) => jumpIf("equal", value, "socket allowed")),
  returns(failWith(EPROTONOSUPPORT)),
  label("socket allowed"),
  returns(ALLOW),
];
