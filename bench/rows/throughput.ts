/**
 * A gibibyte of output, and a file of that size up and down; and what the orchestrator needs for it.
 * Both sides move the same random bytes between the same places: a file in the host's memory and one
 * in a container's own writable layer, so that no disk of the host is what is measured.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Sandbox } from "@insien/sandbox";
import { type Benchmark, interleaved, ratioRow, type Row, timed } from "../benchmark.ts";
import { type Host, memoryDirectory, MIB, spawnAndRead } from "../host.ts";
import { MemoryWatch } from "../memory-watch.ts";
import { Product } from "../product.ts";

const SIZE_BYTES = 1024 * MIB;
const RESOURCES = { memory: "2g" };
const AS_FAST = { ratioMax: 1, text: "as fast" };
const INSIDE = "/tmp/big";
const MAKE_FILE = `head -c ${SIZE_BYTES} /dev/urandom > ${INSIDE}`;

function expectSize(bytes: number): void {
  if (bytes !== SIZE_BYTES) throw new Error(`${bytes} bytes arrived, not ${SIZE_BYTES}`);
}

async function readStdout(sandbox: Sandbox): Promise<void> {
  const command = await sandbox.commands.start(["cat", INSIDE]);
  let bytes = 0;
  for await (const piece of command.stdout.bytes()) bytes += piece.byteLength;
  await command.wait();
  expectSize(bytes);
}

export const stdoutThroughput: Benchmark = {
  name: "stdout",
  needs: ["docker"],
  async measure({ host, runs }) {
    await using product = await Product.start(host, { runtime: "docker" });
    await using sandbox = await product.create({ resources: RESOURCES });
    const container = await host.idleContainer();
    await sandbox.commands.run(MAKE_FILE);
    await host.run("docker", ["exec", container, "sh", "-c", MAKE_FILE]);
    const watch = new MemoryWatch(product.server.pid);
    const { ours, docker } = await interleaved(runs, {
      ours: () => timed(() => watch.during(() => readStdout(sandbox))),
      docker: () =>
        timed(async () =>
          expectSize(await spawnAndRead("docker", ["exec", container, "cat", INSIDE])),
        ),
    });
    const what = "1 GiB of stdout, SDK";
    return [
      ratioRow(what, ours, { what: "docker exec … cat", samples: docker }, AS_FAST),
      watch.row(what),
    ];
  },
};

/** What the two file rows share: the same file here, and its way into and out of both containers. */
interface FileSides {
  sandbox: Sandbox;
  container: string;
  source: string;
  target: string;
}

export const fileThroughput: Benchmark = {
  name: "files",
  needs: ["docker"],
  async measure({ host, runs }) {
    await using product = await Product.start(host, { runtime: "docker" });
    await using sandbox = await product.create({ resources: RESOURCES });
    const container = await host.idleContainer();
    const directory = await mkdtemp(join(memoryDirectory() ?? tmpdir(), "insien-bench-"));
    try {
      const [source, target] = [join(directory, "up"), join(directory, "down")];
      await host.run("sh", ["-c", `head -c ${SIZE_BYTES} /dev/urandom > ${source}`]);
      const watch = new MemoryWatch(product.server.pid);
      const rows = await fileRows(host, runs, watch, { sandbox, container, source, target });
      return [...rows, watch.row("1 GiB file up and down")];
    } finally {
      await rm(directory, { recursive: true });
    }
  },
};

async function fileRows(
  host: Host,
  runs: number,
  watch: MemoryWatch,
  { sandbox, container, source, target }: FileSides,
): Promise<Row[]> {
  const clearInside = async () => {
    await sandbox.commands.run(["rm", "-f", INSIDE]);
    await host.run("docker", ["exec", "--user", "root", container, "rm", "-f", INSIDE]);
  };
  const up = await interleaved(runs, {
    ours: async () => {
      await clearInside();
      return timed(() => watch.during(() => sandbox.files.upload(source, INSIDE)));
    },
    docker: async () => {
      await clearInside();
      return timed(() => host.run("docker", ["cp", source, `${container}:${INSIDE}`]));
    },
  });
  await sandbox.files.upload(source, INSIDE);
  const down = await interleaved(runs, {
    ours: async () => {
      await rm(target, { force: true });
      return timed(() => watch.during(() => sandbox.files.download(INSIDE, target)));
    },
    docker: async () => {
      await rm(target, { force: true });
      return timed(() => host.run("docker", ["cp", `${container}:${INSIDE}`, target]));
    },
  });
  await sandbox.files.download(INSIDE, target);
  await host.run("cmp", [source, target]);
  const beside = (samples: readonly number[]) => ({ what: "docker cp", samples });
  return [
    ratioRow("1 GiB file up, SDK", up.ours, beside(up.docker), AS_FAST),
    ratioRow("1 GiB file down, SDK", down.ours, beside(down.docker), AS_FAST),
  ];
}
