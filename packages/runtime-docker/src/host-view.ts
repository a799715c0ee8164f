/**
 * The addresses of the daemon's host. A server that runs in a container itself sees its own alone,
 * and the host's public ones would be open to machines, past whatever guards them from outside: then
 * a helper in the host's network looks.
 */
import { existsSync } from "node:fs";
import { InsienError, newId } from "@insien/protocol";
import { isConflict, isNotFound, type Engine } from "./engine.ts";
import { hostAddresses } from "./guard-rules.ts";
import type { ImageBuilder } from "./image-builder.ts";
import { LABELS } from "./machine-labels.ts";

const HELPER_MEMORY_BYTES = 32 * 1024 * 1024;
const HELPER_PIDS = 8;
/** Addresses of hosts change rarely, and the rules of running machines stay as they are. */
const FRESH_MS = 60_000;
const ROUTES = "/proc/net/fib_trie";

const isInContainer = (): boolean => existsSync("/.dockerenv") || existsSync("/run/.containerenv");

export class HostView {
  readonly #engine: Engine;
  readonly #builder: ImageBuilder;
  readonly #ownerId: string;
  readonly #isApart: boolean;
  #seen: { addresses: Promise<string[]>; freshUntil: number } | undefined;

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
    if (this.#seen === undefined || this.#seen.freshUntil < performance.now()) {
      const seen = { addresses: this.#look(), freshUntil: performance.now() + FRESH_MS };
      this.#seen = seen;
      seen.addresses.catch(() => {
        if (this.#seen === seen) this.#seen = undefined;
      });
    }
    return [...new Set([...hostAddresses(), ...(await this.#seen.addresses)])];
  }

  async #look(): Promise<string[]> {
    const helper = await this.#engine.docker.createContainer({
      name: `insien-view-${newId()}`,
      Image: await this.#builder.netguard(),
      Entrypoint: ["cat"],
      Cmd: [ROUTES],
      Tty: true,
      Labels: { [LABELS.owner]: this.#ownerId, [LABELS.helper]: "host" },
      HostConfig: {
        NetworkMode: "host",
        CapDrop: ["ALL"],
        SecurityOpt: ["no-new-privileges:true"],
        ReadonlyRootfs: true,
        Memory: HELPER_MEMORY_BYTES,
        PidsLimit: HELPER_PIDS,
      },
    });
    try {
      const ended = helper.wait({ condition: "next-exit" });
      await helper.start();
      await ended;
      const text = (await helper.logs({ stdout: true, stderr: true })).toString("utf8");
      const addresses = localAddresses(text);
      if (addresses.length > 0) return addresses;
      const message = `the addresses of Docker's host could not be seen: ${text.slice(0, 200)}`;
      throw new InsienError("create_failed", message);
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
