/**
 * The firewall of a machine with `internet`: rules in its own network namespace, where it has no
 * right to change them. Public addresses pass; everything that could be somebody's inside does not.
 */
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { INSIDE_IPV4_RANGES, LOOPBACK_IPV4_RANGE } from "@insien/runtime";

export const FORBIDDEN_RANGES = [...INSIDE_IPV4_RANGES, LOOPBACK_IPV4_RANGE];

/** Every IPv4 address of this host: also its public ones lead to the host and not to the internet. */
export function hostAddresses(): string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return [...new Set(addresses.map(({ address }) => address))].filter((text) => isIP(text) === 4);
}

/** Name servers that Docker's resolver asks on the machine's behalf, from inside its network. */
export function nameServers(): string[] {
  // Where systemd-resolved is in front, Docker reads the file with the real servers too.
  for (const path of ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"]) {
    const servers = readNameServers(path);
    if (servers.length > 0) return servers;
  }
  return [];
}

function readNameServers(path: string): string[] {
  try {
    return nameServersOf(readFileSync(path, "utf8"));
  } catch {
    return [];
  }
}

/** Of a resolv.conf, those that are not a process of the same machine. */
export function nameServersOf(text: string): string[] {
  const rows = [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map(([, server = ""]) => server);
  return rows.filter((server) => isIP(server) === 4 && !server.startsWith("127."));
}

/** An nftables script that replaces whatever rules were there, in one transaction. */
export function guardRules(names: readonly string[], forbidden: readonly string[]): string {
  const dns =
    names.length === 0
      ? ""
      : `ip daddr { ${names.join(", ")} } meta l4proto { tcp, udp } th dport 53 accept`;
  return `
table inet insien
delete table inet insien
table inet insien {
  set forbidden {
    type ipv4_addr; flags interval; auto-merge
    elements = { ${[...FORBIDDEN_RANGES, ...forbidden].join(", ")} }
  }
  chain outgoing {
    type filter hook output priority 0; policy accept;
    oif lo accept
    ${dns}
    meta nfproto ipv6 reject
    # An ICMP answer to a connect is only believed at the first retransmission, a second later.
    ip daddr @forbidden meta l4proto tcp reject with tcp reset
    ip daddr @forbidden reject with icmpx type admin-prohibited
  }
  chain incoming {
    type filter hook input priority 0; policy drop;
    iif lo accept
    ct state established,related accept
  }
}`;
}
