/**
 * `internet`: a user-mode network (slirp4netns), which is an ordinary process of the machine's own
 * host user that makes connections on its behalf. The machine's network namespace gets routes that
 * it has no right to change: everything that is not a public address is unreachable, and so is
 * every address of the host itself.
 */
import { spawn } from "node:child_process";
import { networkInterfaces } from "node:os";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { InsienError, LIMITS } from "@insien/protocol";
import { INSIDE_IPV4_RANGES } from "@insien/runtime";
import { ended, identify, signalProcess, type ProcessIdentity } from "./process-identity.ts";
import { findProgram, PLAIN_ENVIRONMENT, run } from "./programs.ts";

/** Addresses that slirp4netns gives to the guest, its gateway and its resolver. */
const GUEST_ADDRESS = "10.0.2.100";
const GATEWAY_ADDRESS = "10.0.2.2";
export const RESOLVER_ADDRESS = "10.0.2.3";
const DEVICE = "tap0";
const DEVICE_BYTES = 65520;
const RESOLVER_TABLE = 53;

export interface NetworkTools {
  slirp4netns: string;
  ip: string;
  nsenter: string;
  unshare: string;
}

export async function findNetworkTools(): Promise<NetworkTools | { missing: string[] }> {
  const names = ["slirp4netns", "ip", "nsenter", "unshare"] as const;
  const paths = await Promise.all(names.map(findProgram));
  const [slirp4netns, ip, nsenter, unshare] = paths;
  if (!slirp4netns || !ip || !nsenter || !unshare) {
    return { missing: names.filter((_, index) => paths[index] === undefined) };
  }
  return { slirp4netns, ip, nsenter, unshare };
}

export interface NetworkPlace {
  /** A process in the machine's network namespace and the user namespace that owns it. */
  monitorPid: number;
  /** Turns a command into one that runs as the machine's host user, in its control group. */
  confine: (argv: readonly string[]) => string[];
  /** Into one that runs as that user only. */
  asUser: (argv: readonly string[]) => string[];
}

/** Gives the machine its network. The refusals are there before the first packet can leave. */
export async function attachNetwork(
  tools: NetworkTools,
  place: NetworkPlace,
): Promise<ProcessIdentity> {
  await configure(tools, place, [...refusedRoutes(), ...resolverRules("add")]);
  const identity = await startSlirp(tools, place);
  await configure(tools, place, [
    `address add ${GUEST_ADDRESS}/32 dev ${DEVICE}`,
    `link set ${DEVICE} mtu ${DEVICE_BYTES} up`,
    // Only its port 53 is let through: slirp would pass any other on to the host's resolver, which
    // may be the host itself.
    `route add ${RESOLVER_ADDRESS}/32 dev ${DEVICE} table ${RESOLVER_TABLE}`,
    `route add default via ${GATEWAY_ADDRESS} dev ${DEVICE} onlink`,
  ]);
  return identity;
}

/** Takes it away: the device goes with the process that holds it, loopback stays. */
export async function releaseNetwork(
  tools: NetworkTools,
  place: NetworkPlace,
  slirp: ProcessIdentity,
): Promise<void> {
  signalProcess(slirp, "SIGKILL");
  await ended([slirp], LIMITS.machineEndMs.value);
  await configure(tools, place, resolverRules("del"));
}

const resolverRules = (verb: "add" | "del"): string[] =>
  ["udp", "tcp"].map(
    (protocol) =>
      `rule ${verb} to ${RESOLVER_ADDRESS}/32 ipproto ${protocol} dport 53 ` +
      `lookup ${RESOLVER_TABLE}`,
  );

function refusedRoutes(): string[] {
  const ownAddresses = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ family, internal }) => family === "IPv4" && !internal)
    .map(({ address }) => `${address}/32`);
  const targets = new Set([...INSIDE_IPV4_RANGES, ...ownAddresses]);
  return [...targets].map((target) => `route replace unreachable ${target}`);
}

async function configure(tools: NetworkTools, place: NetworkPlace, lines: string[]): Promise<void> {
  const inside = [tools.nsenter, "--target", String(place.monitorPid), "--user", "--net"];
  const argv = [...inside, "--preserve-credentials", "--", tools.ip, "-batch", "-"];
  const { exitCode, stderr } = await run(place.asUser(argv), { input: `${lines.join("\n")}\n` });
  if (exitCode === 0) return;
  throw new InsienError("create_failed", `The machine's routes could not be set: ${stderr.trim()}`);
}

async function startSlirp(tools: NetworkTools, place: NetworkPlace): Promise<ProcessIdentity> {
  const argv = place.confine([
    tools.slirp4netns,
    `--mtu=${DEVICE_BYTES}`,
    "--disable-host-loopback",
    "--enable-sandbox",
    "--enable-seccomp",
    "--ready-fd=3",
    String(place.monitorPid),
    DEVICE,
  ]);
  const [program = "", ...parameters] = argv;
  const child = spawn(program, parameters, {
    stdio: ["ignore", "ignore", "ignore", "pipe"],
    env: PLAIN_ENVIRONMENT,
    cwd: "/",
    detached: true,
  });
  child.unref();
  const ready = child.stdio[3] as Readable;
  const failed = once(child, "exit").then(([code]) => {
    throw new InsienError("create_failed", `slirp4netns ended with code ${String(code)}`);
  });
  failed.catch(() => undefined);
  const signal = AbortSignal.timeout(LIMITS.bootMs.value);
  await Promise.race([once(ready, "data", { signal }), failed]);
  ready.destroy();
  const identity = child.pid === undefined ? undefined : identify(child.pid);
  if (identity === undefined) throw new InsienError("create_failed", "slirp4netns ended at once");
  return identity;
}
