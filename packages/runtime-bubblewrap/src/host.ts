/** What this host has for us, found out once by trying. */
import { access } from "node:fs/promises";
import { InsienError } from "@insien/protocol";
import type { RuntimeCapabilities } from "@insien/runtime";
import type { ControlGroups } from "./control-groups/control-groups.ts";
import { findControlGroups } from "./control-groups/host-groups.ts";
import { findNetworkTools, type NetworkTools } from "./network.ts";
import { findProgram, run } from "./programs.ts";
import { systemArguments } from "./system-files.ts";
import { dropTo, PROBE_UID } from "./users.ts";
import type { Architecture } from "./seccomp/syscalls.ts";

export interface Host {
  bwrap: string;
  bwrapVersion: string;
  shell: string;
  /** Present when we are root: what it takes to run each machine as a user of its own. */
  root: { setpriv: string; mount: string; unshare: string } | undefined;
  /** Present when no control group bounds processes or memory. */
  prlimit: string | undefined;
  architecture: Architecture;
  systemArguments: string[];
  /** `--disable-userns` where it works; the seccomp filter says the same. */
  userNamespaceArguments: string[];
  controlGroups: ControlGroups | undefined;
  network: NetworkTools | undefined;
  capabilities: RuntimeCapabilities;
}

/** Throws `InsienError` with what to do when no machine can be made here. */
export async function examineHost(): Promise<Host> {
  const { bwrap, bwrapVersion } = await findBubblewrap();
  const isRoot = process.geteuid?.() === 0;
  const root = isRoot ? await findRootTools() : undefined;
  const system = await systemArguments();
  const confine = root === undefined ? [] : dropTo(root.setpriv, PROBE_UID);
  const probe = (parameters: string[]) =>
    run([
      ...confine,
      bwrap,
      ...NAMESPACES,
      ...parameters,
      ...system,
      "--proc",
      "/proc",
      "--",
      "/usr/bin/true",
    ]);
  const plain = await probe([]);
  if (plain.exitCode !== 0) throw await whyNot(plain.stderr);
  const withoutUserNamespaces = await probe(["--disable-userns"]);
  const controlGroups = await findControlGroups();
  const tools = await findNetworkTools();
  const prlimit = await findProgram("prlimit");
  return {
    bwrap,
    bwrapVersion,
    shell: "/bin/sh",
    root,
    prlimit,
    architecture: architecture(),
    systemArguments: system,
    userNamespaceArguments: withoutUserNamespaces.exitCode === 0 ? ["--disable-userns"] : [],
    controlGroups,
    network: "missing" in tools ? undefined : tools,
    capabilities: describe(controlGroups, prlimit, tools),
  };
}

export const NAMESPACES = [
  "--unshare-user",
  "--unshare-pid",
  "--unshare-ipc",
  "--unshare-uts",
  "--unshare-cgroup-try",
];

async function findBubblewrap() {
  const bwrap = await findProgram("bwrap");
  if (bwrap === undefined) {
    throw unusable("bubblewrap is not installed: install the package `bubblewrap`, or use Docker");
  }
  const bwrapVersion = (await run([bwrap, "--version"])).stdout.trim();
  const help = (await run([bwrap, "--help"])).stdout;
  for (const option of ["--json-status-fd", "--as-pid-1"]) {
    if (help.includes(option)) continue;
    throw unusable(`${bwrapVersion} has no ${option}: install bubblewrap 0.4 or newer`);
  }
  return { bwrap, bwrapVersion };
}

async function mustFind(name: string, packageName: string): Promise<string> {
  const path = await findProgram(name);
  if (path !== undefined) return path;
  throw unusable(`the program ${name} is missing: install the package \`${packageName}\``);
}

async function findRootTools() {
  const [setpriv, mount, unshare] = await Promise.all(
    ["setpriv", "mount", "unshare"].map((name) => mustFind(name, "util-linux")),
  );
  if (!setpriv || !mount || !unshare) throw unusable("util-linux is not installed");
  return { setpriv, mount, unshare };
}

function architecture(): Architecture {
  if (process.arch === "x64" || process.arch === "arm64") return process.arch;
  throw unusable(`there is no seccomp filter for ${process.arch}: x64 and arm64 only`);
}

/** Turns bwrap's refusal into what the administrator can do about it. */
async function whyNot(stderr: string): Promise<InsienError> {
  const said = stderr.trim().split("\n").at(-1) ?? "";
  const value = async (path: string) => {
    const { stdout } = await run(["cat", `/proc/sys/${path}`]);
    return stdout.trim();
  };
  if ((await value("kernel/unprivileged_userns_clone")) === "0") {
    return unusable(
      `user namespaces are off here: sysctl kernel.unprivileged_userns_clone=1 (${said})`,
    );
  }
  if ((await value("kernel/apparmor_restrict_unprivileged_userns")) === "1") {
    return unusable(
      "AppArmor keeps bubblewrap from making user namespaces: give it a profile that has " +
        `\`userns,\`, or sysctl kernel.apparmor_restrict_unprivileged_userns=0 (${said})`,
    );
  }
  if ((await value("user/max_user_namespaces")) === "0") {
    return unusable(
      `no user namespace may be made here: sysctl user.max_user_namespaces=10000 (${said})`,
    );
  }
  const inContainer = await access("/.dockerenv").then(
    () => true,
    () => false,
  );
  const hint = inContainer
    ? "inside a container it needs `--security-opt seccomp=unconfined " +
      "--security-opt systempaths=unconfined`"
    : "`bwrap --unshare-user --ro-bind / / true` must work for this user";
  return unusable(`bubblewrap cannot make a machine (${said}): ${hint}`);
}

const unusable = (message: string): InsienError => new InsienError("create_failed", message);

function describe(
  groups: ControlGroups | undefined,
  prlimit: string | undefined,
  network: NetworkTools | { missing: string[] },
): RuntimeCapabilities {
  const perProcess = prlimit === undefined ? undefined : "rlimit";
  const notes = [
    "Machines see the host's own /usr, read-only; images, builds and GPUs are for the docker runtime.",
  ];
  if (groups === undefined) {
    notes.push(
      "No control group may be written here, so memory is limited per process and CPU not at all: " +
        "run as root, or in a delegated group " +
        "(systemd-run --user --scope -p Delegate=yes ./start.sh).",
    );
  }
  if ("missing" in network) {
    notes.push(
      `No internet for machines: ${network.missing.join(", ")} is missing; ` +
        "install slirp4netns, iproute2 and util-linux.",
    );
  }
  return {
    images: false,
    users: false,
    limits: {
      memory: groups?.holds.memory ? groups.name : perProcess,
      cpu: groups?.holds.cpu ? groups.name : undefined,
      pids: groups?.holds.pids ? groups.name : perProcess,
    },
    networks: "missing" in network ? ["none"] : ["none", "internet"],
    stopStart: true,
    liveUpdate: groups !== undefined,
    readOnlyRoot: true,
    gpus: false,
    notes,
  };
}
