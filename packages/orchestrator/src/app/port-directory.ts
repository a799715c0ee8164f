import { LIMITS, type SandboxId } from "@insien/protocol";
import type {
  SandboxPortRecord,
  SandboxPortRows,
  SandboxRecord,
  SandboxRows,
} from "../db/index.ts";
import type { PortAddress } from "./ports.ts";

export interface FoundPort {
  sandbox: SandboxRecord;
  port: number;
  isPublic: boolean;
}

/** Of the sandboxes that run here, what is known without asking the database. */
interface LiveRows {
  get(id: SandboxId): { row: SandboxRecord } | undefined;
}

interface Remembered {
  found: FoundPort | undefined;
  freshUntil: number;
}

/**
 * Finds the port that an address names. Of sandboxes that run here everything is known; what the
 * database says of others, also that they do not exist, is believed for a moment, so that whoever
 * tries addresses does not ask the database each time.
 */
export class PortDirectory {
  readonly #live: LiveRows;
  readonly #store: Pick<SandboxRows, "get">;
  readonly #rows: SandboxPortRows;
  readonly #here = new Map<SandboxId, readonly SandboxPortRecord[]>();
  readonly #subdomains = new Map<string, SandboxPortRecord>();
  readonly #remembered = new Map<string, Remembered>();

  constructor(parts: { live: LiveRows; store: Pick<SandboxRows, "get">; rows: SandboxPortRows }) {
    this.#live = parts.live;
    this.#store = parts.store;
    this.#rows = parts.rows;
  }

  /** What is known of a sandbox of this node; `undefined` when nobody has looked yet. */
  known(id: SandboxId): readonly SandboxPortRecord[] | undefined {
    return this.#here.get(id);
  }

  /** From now on these are the ports of a sandbox of this node. */
  learn(id: SandboxId, ports: readonly SandboxPortRecord[]): void {
    this.forget(id);
    this.#here.set(id, ports);
    for (const port of ports) {
      if (port.subdomain !== undefined) this.#subdomains.set(port.subdomain, port);
    }
  }

  forget(id: SandboxId): void {
    for (const { subdomain } of this.#here.get(id) ?? []) {
      if (subdomain !== undefined) this.#subdomains.delete(subdomain);
    }
    this.#here.delete(id);
    // Who else is remembered is read again, which costs little and is needed rarely.
    this.#remembered.clear();
  }

  find(address: PortAddress): Promise<FoundPort | undefined> {
    const here = this.#findHere(address);
    return here === undefined ? this.#findRemembered(address) : Promise.resolve(here);
  }

  #findHere(address: PortAddress): FoundPort | undefined {
    const [id, port] =
      "subdomain" in address
        ? wayOf(this.#subdomains.get(address.subdomain))
        : [address.sandboxId, address.port];
    if (id === undefined || port === undefined) return undefined;
    const sandbox = this.#live.get(id)?.row;
    const ports = this.#here.get(id);
    if (sandbox === undefined || ports === undefined) return undefined;
    const isPublic = ports.find(({ internal }) => internal === port)?.public === true;
    return { sandbox, port, isPublic };
  }

  async #findRemembered(address: PortAddress): Promise<FoundPort | undefined> {
    const key = "subdomain" in address ? address.subdomain : `${address.sandboxId}:${address.port}`;
    const known = this.#remembered.get(key);
    if (known !== undefined && known.freshUntil > performance.now()) return known.found;
    const found = await this.#read(address);
    this.#remembered.delete(key);
    this.#remembered.set(key, { found, freshUntil: performance.now() + LIMITS.portCacheMs.value });
    const [oldest] = this.#remembered.keys();
    if (this.#remembered.size > LIMITS.portCacheEntries.value && oldest !== undefined) {
      this.#remembered.delete(oldest);
    }
    return found;
  }

  async #read(address: PortAddress): Promise<FoundPort | undefined> {
    const row = await ("subdomain" in address
      ? this.#rows.bySubdomain(address.subdomain)
      : this.#rows.get(address.sandboxId, address.port));
    const [id, port] = "subdomain" in address ? wayOf(row) : [address.sandboxId, address.port];
    if (id === undefined || port === undefined) return undefined;
    const sandbox = this.#live.get(id)?.row ?? (await this.#store.get(id));
    return sandbox && { sandbox, port, isPublic: row?.public === true };
  }
}

const wayOf = (port: SandboxPortRecord | undefined): [SandboxId?, number?] =>
  port === undefined ? [] : [port.sandboxId, port.internal];
