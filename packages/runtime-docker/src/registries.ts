/**
 * Which registries images are pulled from. The daemon pulls, from the host's own network and not from
 * a sandbox's, and tells what it was answered: without a bound, whoever names an image would look
 * into the host and its neighbours.
 */
import { lookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { InsienError } from "@insien/protocol";
import { FORBIDDEN_RANGES } from "./guard-rules.ts";
import { registryOf } from "./image-reference.ts";

const forbidden = new BlockList();
for (const range of FORBIDDEN_RANGES) addRange(forbidden, range, "ipv4");
/** Of 2000::/3 what carries an IPv4 address. */
for (const range of ["2001::/23", "2002::/16"]) addRange(forbidden, range, "ipv6");
const global = new BlockList();
addRange(global, "2000::/3", "ipv6");

function addRange(list: BlockList, range: string, family: "ipv4" | "ipv6"): void {
  const [network = "", prefix] = range.split("/");
  list.addSubnet(network, Number(prefix), family);
}

function isPublic(address: string): boolean {
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  if (own.some((one) => one.address === address)) return false;
  if (isIP(address) === 4) return !forbidden.check(address, "ipv4");
  return global.check(address, "ipv6") && !forbidden.check(address, "ipv6");
}

/**
 * Throws `image_unavailable` unless images may be pulled from the reference's registry: one of
 * `allowed`, wherever it is; with `undefined` any that is at public addresses.
 */
export async function assertRegistry(
  reference: string,
  allowed: readonly string[] | undefined,
): Promise<void> {
  const registry = registryOf(reference);
  if (allowed?.includes(registry) ?? registry === "docker.io") return;
  if (allowed !== undefined) throw refusal(reference, registry, "is none of those allowed here");
  const host = registry.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  // A name that is unknown here is left to the daemon, which may ask a proxy and says so otherwise.
  const addresses = await lookup(host, { all: true }).catch(() => []);
  if (addresses.every(({ address }) => isPublic(address))) return;
  throw refusal(reference, registry, "is at no public address");
}

const refusal = (reference: string, registry: string, why: string): InsienError =>
  new InsienError(
    "image_unavailable",
    `the image ${reference} cannot be pulled: its registry ${registry} ${why} (INSIEN_REGISTRIES)`,
  );
