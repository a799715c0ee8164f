import { networkInterfaces } from "node:os";
import type { HttpAddress } from "./http/server.ts";

const EVERYWHERE = new Set(["0.0.0.0", "::"]);

/**
 * Where other nodes most likely reach this one: where it listens, or, when it listens everywhere,
 * this host's first address that is not only its own. INSIEN_NODE_URL knows better.
 */
export function nodeUrlOf(address: HttpAddress): string {
  if (!EVERYWHERE.has(address.host)) return address.url;
  const all = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const found = all.find(({ internal, family }) => !internal && family === "IPv4");
  return `http://${found?.address ?? "127.0.0.1"}:${address.port}`;
}
