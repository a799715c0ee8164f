/**
 * Which addresses a webhook may reach: those of the public internet. The owner of a webhook is not
 * the owner of the host, and must not talk to its neighbours through it.
 */
import { lookup } from "node:dns";
import { BlockList, type LookupFunction, isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { INSIDE_IPV4_RANGES, LOOPBACK_IPV4_RANGE } from "@insien/runtime";

const refused = new BlockList();
/** From the IANA registries of special-purpose addresses; the last ones are for documents and relays. */
const REFUSED_IPV4 = [
  ...INSIDE_IPV4_RANGES,
  LOOPBACK_IPV4_RANGE,
  "192.0.2.0/24",
  "192.88.99.0/24",
  "198.51.100.0/24",
  "203.0.113.0/24",
];
/** Of 2000::/3, the rest being no one's: what is special, and what carries an IPv4 address. */
const REFUSED_IPV6 = ["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"];
for (const [ranges, family] of [
  [REFUSED_IPV4, "ipv4"],
  [REFUSED_IPV6, "ipv6"],
] as const) {
  for (const range of ranges) {
    const [network = "", prefix] = range.split("/");
    refused.addSubnet(network, Number(prefix), family);
  }
}
const global = new BlockList();
global.addSubnet("2000::", 3, "ipv6");

const ownAddresses = (): string[] =>
  Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));

/** The host's own public addresses are the inside too: what listens there may be closed to others. */
export function isPublicAddress(address: string, own: readonly string[] = ownAddresses()): boolean {
  if (own.includes(address)) return false;
  if (isIP(address) === 4) return !refused.check(address, "ipv4");
  return global.check(address, "ipv6") && !refused.check(address, "ipv6");
}

/** Hosts by whose very name it is plain that none of the internet is meant. */
const INSIDE_NAMES = /(?:^|\.)(?:localhost|local|internal|home\.arpa|lan)\.?$/i;

/** Whether a URL can be seen to lead inside without looking its name up; the rest is seen on dialling. */
export function namesInside(text: string): boolean {
  const host = new URL(text).hostname.replace(/^\[|\]$/g, "");
  return isIP(host) === 0 ? INSIDE_NAMES.test(host) : !isPublicAddress(host);
}

/** Says no more than this of what a name stands for: it may be a name of the inside. */
export class UnreachableAddress extends Error {}

/**
 * `dns.lookup` that finds public addresses only. Given to a socket it decides about the very address
 * that the socket then dials, so that a name cannot change between check and use.
 */
export const lookupPublic: LookupFunction = (hostname, options, found) => {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    const [first, ...others] = (addresses ?? []).filter(({ address }) => isPublicAddress(address));
    if (error !== null || first === undefined) found(new UnreachableAddress(hostname), "");
    else if (options.all === true) found(null, [first, ...others]);
    else found(null, first.address, first.family);
  });
};
