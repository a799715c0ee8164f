/** A gibibyte of files out of a sandbox as one zip, beside `docker cp` of the same folder. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Benchmark, interleaved, ratioRow, timed } from "../benchmark.ts";
import { memoryDirectory, MIB } from "../host.ts";
import { MemoryWatch } from "../memory-watch.ts";
import { Product } from "../product.ts";

const FILES = 64;
const FILE_BYTES = 16 * MIB;
const INSIDE = "/tmp/export";
const MAKE_FILES =
  `mkdir -p ${INSIDE} && for n in $(seq ${FILES}); do ` +
  `head -c ${FILE_BYTES} /dev/urandom > ${INSIDE}/$n; done`;

export const zipExport: Benchmark = {
  name: "export",
  needs: ["docker"],
  async measure({ host, runs }) {
    await using product = await Product.start(host, { runtime: "docker" });
    await using sandbox = await product.create({ resources: { memory: "2g" } });
    const container = await host.idleContainer();
    await sandbox.commands.run(MAKE_FILES);
    await host.run("docker", ["exec", container, "sh", "-c", MAKE_FILES]);
    const directory = await mkdtemp(join(memoryDirectory() ?? tmpdir(), "insien-bench-"));
    const watch = new MemoryWatch(product.server.pid);
    try {
      const [zip, copy] = [join(directory, "export.zip"), join(directory, "export")];
      const { ours, docker } = await interleaved(runs, {
        ours: async () => {
          await rm(zip, { force: true });
          return timed(() => watch.during(() => sandbox.files.exportZip(INSIDE, zip)));
        },
        docker: async () => {
          await rm(copy, { recursive: true, force: true });
          return timed(() => host.run("docker", ["cp", `${container}:${INSIDE}`, copy]));
        },
      });
      const what = "1 GiB folder as a zip, SDK";
      const beside = { what: "docker cp", samples: docker };
      const bound = { ratioMax: 1, text: "as fast" };
      return [ratioRow(what, ours, beside, bound), watch.row(what)];
    } finally {
      await rm(directory, { recursive: true });
    }
  },
};
