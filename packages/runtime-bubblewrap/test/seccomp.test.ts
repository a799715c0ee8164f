/** The filter's every class, by a real attempt from inside. Numbers are x86_64's. */
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { mustHave } from "@insien/test-kit";
import { Workbench, type WorkbenchMachine } from "./workbench.fixture.ts";

const { EPERM, ENOSYS, EAFNOSUPPORT, EPROTONOSUPPORT } = constants.errno;

/** Makes each call with all-zero arguments unless it says otherwise; prints the errors by name. */
const ATTEMPTS = `
import ctypes, json, sys
libc = ctypes.CDLL(None, use_errno=True)
answers = {}
for name, number, *arguments in json.loads(sys.argv[1]):
    padded = (arguments + [0] * 6)[:6]
    ctypes.set_errno(0)
    result = libc.syscall(number, *[ctypes.c_ulong(value) for value in padded])
    answers[name] = ctypes.get_errno() if result == -1 else 0
print(json.dumps(answers))
`;
const RUN_MACHINE_CODE = `
import ctypes, mmap, sys
code = bytes.fromhex(sys.argv[1])
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(code)
ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
print("came back")
`;

const NEWUSER = 0x10000000;
const NEWNET = 0x40000000;
const TIOCSTI = 0x5412;
const REFUSED: Array<[name: string, number: number, ...parameters: number[]]> = [
  ["keyctl", 250],
  ["add_key", 248],
  ["request_key", 249],
  ["bpf", 321],
  ["perf_event_open", 298],
  ["userfaultfd", 323],
  ["io_uring_setup", 425, 1],
  ["io_uring_enter", 426],
  ["io_uring_register", 427],
  ["mount", 165],
  ["umount2", 166],
  ["pivot_root", 155],
  ["move_mount", 429],
  ["open_tree", 428],
  ["fsopen", 430],
  ["fsmount", 432],
  ["fsconfig", 431],
  ["fspick", 433],
  ["mount_setattr", 442],
  ["chroot", 161],
  ["setns", 308],
  ["unshare user", 272, NEWUSER],
  ["unshare net", 272, NEWNET],
  ["clone user", 56, NEWUSER | 17],
  ["name_to_handle_at", 303],
  ["open_by_handle_at", 304],
  ["process_vm_readv", 310],
  ["process_vm_writev", 311],
  ["pidfd_getfd", 438],
  ["kexec_load", 246],
  ["kexec_file_load", 320],
  ["init_module", 175],
  ["finit_module", 313],
  ["delete_module", 176],
  ["reboot", 169],
  ["swapon", 167],
  ["swapoff", 168],
  ["settimeofday", 164],
  ["clock_settime", 227],
  ["quotactl", 179],
  ["acct", 163],
  ["lookup_dcookie", 212],
  ["nfsservctl", 180],
  ["vhangup", 153],
  ["syslog", 103],
  ["ioctl TIOCSTI", 16, 0, TIOCSTI],
  ["personality READ_IMPLIES_EXEC", 135, 0x0400000],
];

const python = existsSync("/usr/bin/python3") && process.arch === "x64";
describe.skipIf(!mustHave(python, "/usr/bin/python3 on x86_64"))("seccomp", () => {
  let bench: Workbench;
  let machine: WorkbenchMachine;
  beforeAll(async () => {
    bench = await Workbench.open();
    machine = await bench.machine();
  });
  afterAll(async () => await bench?.[Symbol.asyncDispose]());

  const attempt = async (calls: unknown[]): Promise<unknown> => {
    const { stdout, stderr } = await machine.python(ATTEMPTS, JSON.stringify(calls));
    expect(stderr).toBe("");
    return JSON.parse(stdout);
  };

  test("refuses what no sandboxed program needs", async () => {
    const expected = Object.fromEntries(REFUSED.map(([name]) => [name, EPERM]));
    expect(await attempt(REFUSED)).toEqual(expected);
  });

  test("pretends not to know clone3 and calls newer than its table", async () => {
    const answers = await attempt([
      ["clone3", 435],
      ["newest", 500],
    ]);
    expect(answers).toEqual({ clone3: ENOSYS, newest: ENOSYS });
  });

  test("knows only the common socket families and protocols", async () => {
    const DATAGRAM = 2;
    const answers = await attempt([
      ["unix", 41, 1, DATAGRAM],
      ["inet", 41, 2, DATAGRAM],
      ["inet6", 41, 10, DATAGRAM],
      ["route", 41, 16, DATAGRAM, 0],
      ["vsock", 41, 40, DATAGRAM],
      ["packet", 41, 17, DATAGRAM],
      ["alg", 41, 38, 5],
      ["netfilter", 41, 16, DATAGRAM, 12],
      ["sctp", 41, 2, 1, 132],
    ]);
    expect(answers).toEqual({
      unix: 0,
      inet: 0,
      inet6: 0,
      route: 0,
      vsock: EAFNOSUPPORT,
      packet: EAFNOSUPPORT,
      alg: EAFNOSUPPORT,
      netfilter: EPROTONOSUPPORT,
      sctp: EPROTONOSUPPORT,
    });
  });

  test("lets ordinary programs work", async () => {
    const own = [
      ["getpid", 39],
      ["personality query", 135, 0xffffffff],
    ];
    expect(await attempt(own)).toEqual({ getpid: 0, "personality query": 0 });
    const threads =
      "import threading; t = threading.Thread(target=print, args=('ran',)); t.start()";
    expect((await machine.python(threads)).stdout).toBe("ran\n");
  });

  test.each([
    // mov eax, 20 (getpid of i386); int 0x80; ret
    ["i386", "b814000000cd80c3"],
    // mov eax, 0x40000027 (getpid of x32); syscall; ret
    ["x32", "b8270000400f05c3"],
  ])("kills a program that makes %s calls", async (_, code) => {
    const { stdout, signal, exitCode } = await machine.python(RUN_MACHINE_CODE, code);
    expect(stdout).not.toContain("came back");
    expect({ signal, exitCode }).toMatchObject({ signal: "SIGSYS" });
  });
});
