/**
 * The addresses of the daemon's host, and its name servers. A server that runs in a container itself
 * sees its own alone: the host's public addresses would be open to machines, past whatever guards
 * them from outside, and the name servers closed. Then a helper in the host's network looks.
 */
import { existsSync } from "node:fs";
import { InsienError, newId } from "@insien/protocol";
import { isConflict, isNotFound, type Engine } from "./engine.ts";
import { hostAddresses, nameServers, nameServersOf } from "./guard-rules.ts";
import { runHelper } from "./helper-run.ts";
import type { ImageBuilder } from "./image-builder.ts";
import { LABELS } from "./machine-labels.ts";

const HELPER_MEMORY_BYTES = 32 * 1024 * 1024;
const HELPER_PIDS = 8;
/** Addresses of hosts change rarely, and the rules of running machines stay as they are. */
const FRESH_MS = 60_000;
const ROUTES = "/proc/net/fib_trie";
const RESOLVER = "/etc/resolv.conf";

const isInContainer = (): boolean => existsSync("/.dockerenv") || existsSync("/run/.containerenv");

interface Seen {
  addresses: string[];
  nameServers: string[];
}

export class HostView {
  readonly #engine: Engine;
  readonly #builder: ImageBuilder;
  readonly #ownerId: string;
  readonly #isApart: boolean;
  #seen: { host: Promise<Seen>; freshUntil: number } | undefined;

  constructor(
    engine: Engine,
    builder: ImageBuilder,
    { ownerId, isApart = isInContainer() }: { ownerId: string; isApart?: boolean },
  ) {
    this.#engine = engine;
    this.#builder = builder;
    this.#ownerId = ownerId;
    this.#isApart = isApart;
  }

  /** IPv4, all that lead to the host and to this process. Throws when it cannot be seen. */
  async addresses(): Promise<string[]> {
    if (!this.#isApart) return hostAddresses();
    return [...new Set([...hostAddresses(), ...(await this.#host()).addresses])];
  }

  /** Those that Docker's resolver asks on a machine's behalf, from inside its network. */
  async nameServers(): Promise<string[]> {
    return this.#isApart ? (await this.#host()).nameServers : nameServers();
  }

  #host(): Promise<Seen> {
    if (this.#seen !== undefined && this.#seen.freshUntil >= performance.now())
      return this.#seen.host;
    const seen = { host: this.#look(), freshUntil: performance.now() + FRESH_MS };
    this.#seen = seen;
    seen.host.catch(() => {
      if (this.#seen === seen) this.#seen = undefined;
    });
    return seen.host;
  }

  async #look(): Promise<Seen> {
    const text = await this.#read([ROUTES, RESOLVER], "host");
    const addresses = localAddresses(text);
    if (addresses.length === 0) {
      const message = `the addresses of Docker's host could not be seen: ${text.slice(0, 200)}`;
      throw new InsienError("create_failed", message);
    }
    const own = nameServersOf(text);
    if (own.length > 0) return { addresses, nameServers: own };
    // The host asks a resolver of its own; on its bridge Docker names those that are behind it.
    const bridged = await this.#read([RESOLVER], "bridge").catch(() => "");
    return { addresses, nameServers: nameServersOf(bridged) };
  }

  async #read(paths: string[], network: "host" | "bridge"): Promise<string> {
    const helper = await this.#engine.docker.createContainer({
      name: `insien-view-${newId()}`,
      Image: await this.#builder.netguard(),
      Entrypoint: ["cat"],
      Cmd: paths,
      Tty: true,
      Labels: { [LABELS.owner]: this.#ownerId, [LABELS.helper]: "host" },
      HostConfig: {
        NetworkMode: network,
        CapDrop: ["ALL"],
        SecurityOpt: ["no-new-privileges:true"],
        ReadonlyRootfs: true,
        Memory: HELPER_MEMORY_BYTES,
        PidsLimit: HELPER_PIDS,
      },
    });
    try {
      await runHelper(helper);
      return (await helper.logs({ stdout: true, stderr: true })).toString("utf8");
    } finally {
      await helper.remove({ force: true }).catch((error: unknown) => {
        if (!isNotFound(error) && !isConflict(error)) throw error;
      });
    }
  }
}

/** Of the kernel's routing table, as /proc shows it, what leads to the host itself. */
export function localAddresses(routes: string): string[] {
  const found = routes.matchAll(/\|-- (\d+\.\d+\.\d+\.\d+)\s+\/32 host LOCAL/g);
  return [...new Set([...found].map(([, address = ""]) => address))];
}
