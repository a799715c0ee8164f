import { InsienError, LIMITS, type SandboxId } from "@insien/protocol";
import type { Logger } from "pino";
import type { NodeRows, SandboxRows } from "../db/index.ts";
import type { Nodes, Place } from "./application.ts";
import type { Principal } from "./principal.ts";

export interface NodeDirectoryParts {
  /** This node. */
  nodeId: string;
  nodes: NodeRows;
  store: SandboxRows;
  /** No other node can be on this database: sandboxes are here, and nobody is told of this node. */
  isAlone: boolean;
  /** Whether this process holds the sandbox's line: then nobody else is asked where it is. */
  isHere(id: SandboxId): boolean;
  log: Logger;
}

interface Home {
  ownerId: string;
  nodeId: string;
}

/**
 * Which of the nodes on one database holds a sandbox's machine, and where that node is reached. A
 * machine never moves, so what was once found stays true; a node's address is asked for again.
 */
export class NodeDirectory implements Nodes, AsyncDisposable {
  readonly id: string;
  readonly #parts: NodeDirectoryParts;
  /** Sandboxes of other nodes, the one looked up longest ago first. */
  readonly #homes = new Map<SandboxId, Home>();
  readonly #urls = new Map<string, { url: string | undefined; freshUntil: number }>();
  readonly #startedAt = new Date();
  #timer: NodeJS.Timeout | undefined;
  #beat: Promise<unknown> = Promise.resolve();

  constructor(parts: NodeDirectoryParts) {
    this.id = parts.nodeId;
    this.#parts = parts;
  }

  /** Tells the other nodes that this one is alive and where it is reached, from now until disposal. */
  async announce(url: string): Promise<void> {
    if (this.#parts.isAlone) return;
    const beat = () =>
      this.#parts.nodes.heartbeat({ id: this.id, url, startedAt: this.#startedAt });
    await beat();
    this.#timer = setInterval(() => {
      this.#beat = this.#beat.then(beat).catch((error: unknown) => {
        this.#parts.log.warn(
          { err: error },
          "the other nodes could not be told that this one lives",
        );
      });
    }, LIMITS.nodeHeartbeatMs.value);
    this.#timer.unref();
    this.#parts.log.info({ nodeId: this.id, url }, "this node can be found by others");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    await this.#beat;
    await this.#parts.nodes.remove(this.id).catch((error: unknown) => {
      this.#parts.log.warn({ err: error }, "the other nodes could not be told that this one stops");
    });
  }

  async locate(principal: Principal, id: SandboxId): Promise<Place | undefined> {
    const { isAlone, isHere } = this.#parts;
    if (isAlone || isHere(id)) return undefined;
    const home = this.#homes.get(id) ?? (await this.#findHome(id));
    // To a stranger it does not exist, which every node can say.
    if (home === undefined || home.ownerId !== principal.ownerId) return undefined;
    return { nodeId: home.nodeId, url: await this.#urlOf(home.nodeId) };
  }

  forget(nodeId: string): void {
    this.#urls.delete(nodeId);
  }

  async #findHome(id: SandboxId): Promise<Home | undefined> {
    const row = await this.#parts.store.get(id);
    if (row?.nodeId === undefined || row.nodeId === this.id) return undefined;
    const home = { ownerId: row.ownerId, nodeId: row.nodeId };
    this.#homes.set(id, home);
    const [oldest] = this.#homes.keys();
    if (this.#homes.size > LIMITS.nodeCacheEntries.value && oldest !== undefined) {
      this.#homes.delete(oldest);
    }
    return home;
  }

  async #urlOf(nodeId: string): Promise<string | undefined> {
    const known = this.#urls.get(nodeId);
    if (known !== undefined && known.freshUntil > performance.now()) return known.url;
    const node = await this.#parts.nodes.get(nodeId);
    const isAlive = node !== undefined && node.silentMs < LIMITS.nodeSilenceMs.value;
    const url = isAlive ? node.url : undefined;
    this.#urls.set(nodeId, { url, freshUntil: performance.now() + LIMITS.nodeCacheMs.value });
    return url;
  }
}

/** Enough of a node's id to tell nodes apart, for people. */
export const shownNode = (nodeId: string): string => nodeId.slice(0, 8);

/** What callers are told while only the node that holds a sandbox could answer them. */
export function nodeSilent(id: SandboxId, nodeId: string, cause?: unknown): InsienError {
  const message = `Sandbox ${id} runs on node ${shownNode(nodeId)}, which does not answer`;
  return new InsienError("agent_unreachable", message, {
    details: { node: shownNode(nodeId) },
    ...(cause === undefined ? {} : { cause }),
  });
}
