/** A gibibyte of output, and a file of that size up and down; and what the orchestrator needs for it. */
import { createReadStream, createWriteStream } from "node:fs";
import { rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Sandbox } from "@insien/sandbox";
import { type Benchmark, interleaved, ratioRow, type Row, timed } from "../benchmark.ts";
import { memory, MIB, spawnAndRead } from "../host.ts";
import { Product } from "../product.ts";

const SIZE_BYTES = 1024 * MIB;
const MEMORY_GROWTH_MIB_MAX = 64;
const RESOURCES = { memory: "2g" };
const AS_FAST = { ratioMax: 1, text: "as fast" };

/** The orchestrator's highest resident memory during `action`, above what it had before. */
async function growthMiB(pid: number, action: () => Promise<unknown>): Promise<number> {
  const before = memory.residentMiB(pid);
  memory.forgetPeak(pid);
  await action();
  return Math.max(0, memory.peakMiB(pid) - before);
}

const memoryRow = (what: string, growths: readonly number[]): Row => ({
  what: `${what}: orchestrator's memory grows at most by`,
  unit: "MiB",
  value: Math.max(...growths),
  mustReach: `${MEMORY_GROWTH_MIB_MAX} MiB`,
  reached: Math.max(...growths) < MEMORY_GROWTH_MIB_MAX,
  samples: growths.length,
});

function expectSize(bytes: number): void {
  if (bytes !== SIZE_BYTES) throw new Error(`${bytes} bytes arrived, not ${SIZE_BYTES}`);
}

async function readStdout(sandbox: Sandbox): Promise<void> {
  const command = await sandbox.commands.start(["cat", "/tmp/big"]);
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
    const makeFile = `head -c ${SIZE_BYTES} /dev/zero > /tmp/big`;
    await sandbox.commands.run(makeFile);
    await host.run("docker", ["exec", container, "sh", "-c", makeFile]);
    const growths: number[] = [];
    const { ours, docker } = await interleaved(runs, {
      ours: () =>
        timed(async () => {
          growths.push(await growthMiB(product.server.pid, () => readStdout(sandbox)));
        }),
      docker: () =>
        timed(async () =>
          expectSize(await spawnAndRead("docker", ["exec", container, "cat", "/tmp/big"])),
        ),
    });
    const what = "1 GiB of stdout, SDK";
    return [
      ratioRow(what, ours, { what: "docker exec … cat", samples: docker }, AS_FAST),
      memoryRow(what, growths),
    ];
  },
};

export const fileThroughput: Benchmark = {
  name: "files",
  needs: ["docker"],
  async measure({ host, runs }) {
    await using product = await Product.start(host, { runtime: "docker" });
    await using sandbox = await product.create({ resources: RESOURCES });
    const container = await host.idleContainer();
    const source = join(host.directory, "up");
    const target = join(host.directory, "down");
    await writeFile(source, "");
    await truncate(source, SIZE_BYTES);
    const growths: number[] = [];
    const watched = (action: () => Promise<unknown>): Promise<number> =>
      timed(async () => {
        growths.push(await growthMiB(product.server.pid, action));
      });
    const up = await interleaved(runs, {
      ours: () => watched(() => sandbox.files.write("/tmp/big", createReadStream(source))),
      docker: () => timed(() => host.run("docker", ["cp", source, `${container}:/tmp/big`])),
    });
    const down = await interleaved(runs, {
      ours: () => watched(() => downloadTo(sandbox, target)),
      docker: () => timed(() => host.run("docker", ["cp", `${container}:/tmp/big`, target])),
    });
    await rm(target);
    const beside = (samples: readonly number[]) => ({ what: "docker cp", samples });
    return [
      ratioRow("1 GiB file up, SDK", up.ours, beside(up.docker), AS_FAST),
      ratioRow("1 GiB file down, SDK", down.ours, beside(down.docker), AS_FAST),
      memoryRow("1 GiB file up and down", growths),
    ];
  },
};

async function downloadTo(sandbox: Sandbox, target: string): Promise<void> {
  const file = createWriteStream(target);
  await pipeline(Readable.fromWeb(await sandbox.files.readStream("/tmp/big")), file);
  expectSize(file.bytesWritten);
}
