/**
 * Run as an ordinary user with a directory of its own: makes a machine, looks at it, and prints
 * what it saw as JSON.
 */
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { newMachineId } from "@insien/protocol";
import { waitFor } from "@insien/test-kit";
import { createBubblewrapRuntime } from "../src/index.ts";

const LOOK = `echo uid $(id -u); cd /proc/1/fd; echo *; readlink *; cd
cat /proc/self/limits; mkdir shut
echo kept > /data/file; touch shut/file; chmod 0 shut; /insien/kit/node -p '"node " + "runs"'; echo looked; exec sleep 1000`;

const directory = process.argv[2] ?? "";
const lineDirectory = join(directory, "line");
await mkdir(lineDirectory);
await mkdir(join(directory, "kit"));
await copyFile(process.execPath, join(directory, "kit", "node"));
await writeFile(join(lineDirectory, "token"), "token");
await using runtime = createBubblewrapRuntime({
  ownerId: "ordinary",
  dataDirectory: join(directory, "data"),
  kit: {
    directory: join(directory, "kit"),
    command: ["/bin/sh", "-c", LOOK],
    environment: {},
    hash: "plain",
  },
});
const { limits, networks, notes } = await runtime.capabilities();
const machineId = newMachineId();
const network = networks.includes("internet") ? "internet" : "none";
await runtime.volumes?.create({ volumeId: "shelf", driver: "local" });
await runtime.create({
  machineId,
  template: await runtime.prepare({ name: "base", image: "ignored" }),
  limits: { cpu: 1, memoryBytes: 256 * 1024 * 1024, pids: 50 },
  network,
  lineDirectory,
  labels: {},
  volumes: [{ volumeId: "shelf", target: "/data", readOnly: false }],
});
const logPath = join(directory, "data", "machines", machineId, "log");
const log = await waitFor(async () => {
  const text = await readFile(logPath, "utf8");
  return text.includes("looked") ? text : undefined;
});
const status = await readFile(
  join(directory, "data", "machines", machineId, "machine.json"),
  "utf8",
);
const usage = (await runtime.meter?.measure([machineId]))?.get(machineId);
const diskBytes = (await runtime.meter?.diskSizes([machineId]))?.get(machineId);
await runtime.stop(machineId, { graceMs: 0 });
await runtime.start(machineId);
const state = (await runtime.inspect(machineId))?.state;
const destroyed = await runtime.destroy(machineId);
const kept = await readFile(join(directory, "data", "volumes", "shelf", "files", "file"), "utf8");
const volumeDestroyed = await runtime.volumes?.destroy("shelf");
const seen = { limits, notes, log, status, state, destroyed, usage, diskBytes, kept };
process.stdout.write(JSON.stringify({ ...seen, volumeDestroyed }));
