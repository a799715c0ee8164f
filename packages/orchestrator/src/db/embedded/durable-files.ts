import { fdatasyncSync } from "node:fs";
import type { PGlite } from "@electric-sql/pglite";
import { NodeFS } from "@electric-sql/pglite/nodefs";

type Setup = Parameters<NodeFS["init"]>[1];

/**
 * PGlite's directory on disk, where `fsync` reaches the disk. PGlite's own leaves it out, so that a
 * power cut could lose rows that were acknowledged, or the whole database.
 */
export class DurableFiles extends NodeFS {
  readonly #sync: (descriptor: number) => void;

  constructor(directory: string, sync: (descriptor: number) => void = fdatasyncSync) {
    super(directory);
    this.#sync = sync;
  }

  override async init(database: PGlite, options: Setup): Promise<{ emscriptenOpts: Setup }> {
    const result = await super.init(database, options);
    result.emscriptenOpts.preRun?.push((module) => {
      // PGlite exports its files' operations without a type for them.
      const { stream_ops: operations } = Reflect.get(module, "NODEFS");
      operations.fsync = (stream: { nfd: number }): number => {
        this.#sync(stream.nfd);
        return 0;
      };
    });
    return result;
  }
}
