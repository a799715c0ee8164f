import { readFileSync } from "node:fs";
import type { Server } from "node:http";
import type { Duplex } from "node:stream";
import type { Libc } from "./native/libc.ts";

/** Long enough that a busy sandbox never pays for tidying between two commands. */
const IDLE_MS = 1000;

/**
 * Gives memory back once nothing has happened for a while: a sandbox waits far longer than it works,
 * and hundreds of them share a host. Collects garbage, returns free heap pages, and lets go of the
 * program text of the start, which the kernel keeps for all agents and maps again when needed.
 */
export class IdleMemory {
  readonly #libc: Pick<Libc, "trimHeap" | "letGo">;
  readonly #collect = globalThis.gc;
  readonly #connections = new Set<Duplex>();
  #timer: NodeJS.Timeout;

  constructor(libc: Pick<Libc, "trimHeap" | "letGo">) {
    this.#libc = libc;
    this.#timer = setTimeout(() => this.#tidy(), IDLE_MS);
    this.#timer.unref();
  }

  /** Something happened. */
  touch(): void {
    this.#timer.refresh();
  }

  /** What is asked on this server's connections, and when it has been answered, happens too. */
  watch(server: Server): void {
    server.on("connection", (stream: Duplex) => {
      this.#connections.add(stream);
      stream.once("close", () => {
        this.#connections.delete(stream);
        this.touch();
      });
    });
    server.on("request", (_request, response) => response.once("close", () => this.touch()));
  }

  #tidy(): void {
    // What waits for a slow reader cannot be collected yet, and nothing tells when it is gone.
    if ([...this.#connections].some(({ writableLength }) => writableLength > 0)) {
      this.touch();
      return;
    }
    this.#collect?.({ type: "major", execution: "sync", flavor: "last-resort" });
    this.#libc.trimHeap();
    for (const [start, end] of textOfProgram()) this.#libc.letGo(start, end - start);
  }
}

/** Address ranges of the program's own code: read-only and never written, so nothing can be lost. */
function* textOfProgram(): Generator<[bigint, bigint]> {
  for (const line of readFileSync("/proc/self/maps", "latin1").split("\n")) {
    const match = /^([0-9a-f]+)-([0-9a-f]+) r-xp \S+ \S+ [1-9]\d*\s/.exec(line);
    if (match !== null) yield [BigInt(`0x${match[1]}`), BigInt(`0x${match[2]}`)];
  }
}
