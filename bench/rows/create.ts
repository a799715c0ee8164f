/** From nothing to the first command's result: warm and cold, docker and bubblewrap. */
import { type Benchmark, interleaved, ratioRow, timed } from "../benchmark.ts";
import { Product } from "../product.ts";

const POOL_SIZE = 4;
/** What `bwrap` itself needs to run a program of the host in namespaces of its own. */
const RAW_BWRAP = (
  "--ro-bind /usr /usr --symlink usr/lib /lib --symlink usr/lib64 /lib64 --symlink usr/bin /bin " +
  "--proc /proc --dev /dev --tmpfs /tmp --unshare-all --die-with-parent true"
).split(" ");

export const createWarmDocker: Benchmark = {
  name: "create-warm-docker",
  needs: ["docker"],
  async measure({ host, runs }) {
    await using product = await Product.start(host, { runtime: "docker", poolSize: POOL_SIZE });
    const { ours, docker } = await interleaved(runs, {
      ours: () => product.timeWhenWarm(),
      docker: () => timed(() => host.run("docker", ["run", "--rm", host.image, "true"])),
    });
    const baseline = { what: "docker run --rm", samples: docker };
    const bound = { ratioMax: 1 / 30, text: "1/30 of it" };
    return [ratioRow("create → first command, docker, warm", ours, baseline, bound)];
  },
};

export const createColdDocker: Benchmark = {
  name: "create-cold-docker",
  needs: ["docker"],
  async measure({ host, runs }) {
    await using product = await Product.start(host, { runtime: "docker", poolSize: 0 });
    const { ours, docker } = await interleaved(runs, {
      ours: async () => (await product.timeToFirstCommand()).ms,
      docker: () => timed(() => host.run("docker", ["run", "--rm", host.image, "true"])),
    });
    const baseline = { what: "docker run --rm", samples: docker };
    const bound = { ratioMax: 1.3, text: "1.3 × it" };
    return [ratioRow("create → first command, docker, cold", ours, baseline, bound)];
  },
};

export const createWarmBubblewrap: Benchmark = {
  name: "create-warm-bubblewrap",
  needs: ["bwrap"],
  async measure({ host, runs }) {
    await using product = await Product.start(host, { runtime: "bubblewrap", poolSize: POOL_SIZE });
    const { ours, raw } = await interleaved(runs, {
      ours: () => product.timeWhenWarm(),
      raw: () => timed(() => host.run("bwrap", RAW_BWRAP)),
    });
    const baseline = { what: "bwrap … true", samples: raw };
    const bound = { ratioMax: 3, text: "3 × it" };
    return [ratioRow("create → first command, bubblewrap, warm", ours, baseline, bound)];
  },
};
