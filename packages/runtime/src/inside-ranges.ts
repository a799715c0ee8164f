/**
 * IPv4 addresses that are somebody's inside and not the internet: this host and network, private,
 * shared (CGNAT), link-local, protocol assignments, benchmarks, multicast, reserved. Loopback is apart,
 * since a machine's own is no one else's.
 */
export const INSIDE_IPV4_RANGES = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "224.0.0.0/4",
  "240.0.0.0/4",
] as const;

export const LOOPBACK_IPV4_RANGE = "127.0.0.0/8";
