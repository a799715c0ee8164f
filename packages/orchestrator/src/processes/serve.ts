/** The server: keeps the doors open until a signal ends it. */
import { join } from "node:path";
import type { Template } from "@insien/runtime";
import { banner } from "../banner.ts";
import type { Config } from "../config.ts";
import { readOrMakeSecret } from "../config/secret-file.ts";
import { ProcessSeries } from "../metrics/process-series.ts";
import { sandboxFamilies } from "../metrics/sandbox-series.ts";
import { ServerMetrics } from "../metrics/server-metrics.ts";
import { removeServerFile, writeServerFile } from "../server-file.ts";
import { Server } from "../server.ts";
import { startMonitor } from "./monitor.ts";
import type { ProcessParts } from "./process-parts.ts";
import { stopSignal } from "./stop-signal.ts";
import { createCleanup, startWorker } from "./worker.ts";

const templatesOf = (config: Config): [Template] => [
  { name: "base", image: config.agentImage ?? "insien-base" },
];

export async function serve(parts: ProcessParts, runtimeReason: string): Promise<void> {
  const { config, log, database, runtime, nodeId } = parts;
  const apiKey =
    config.apiKey ?? (await readOrMakeSecret(join(config.dataDirectory, "api-key"), "insien_"));
  const metrics = new ServerMetrics();
  using ofProcess = new ProcessSeries(config.dataDirectory);
  metrics.add(() => ofProcess.families());
  metrics.add(() => sandboxFamilies({ usage: database.usage, nodeId }));
  const cleanup = createCleanup(parts, { metrics });
  await using server = new Server({
    metrics,
    maintenance: cleanup,
    config,
    database,
    runtime,
    templates: templatesOf(config),
    nodeId,
    apiKey,
    log,
  });
  const address = await server.start();
  await writeServerFile(config.dataDirectory, {
    pid: process.pid,
    url: address.url,
    webSocketUrl: address.url.replace(
      /^http(.*):\d+$/,
      `ws$1:${address.webSocketPort ?? address.port}`,
    ),
    startedAt: new Date().toISOString(),
  });
  await using _monitor =
    config.monitor.place === "inside" ? startMonitor(parts, metrics) : undefined;
  await using _worker = config.worker.place === "inside" ? startWorker(parts, cleanup) : undefined;
  const isApart = [config.monitor.place, config.worker.place].includes("apart");
  if (isApart && database.kind === "embedded")
    log.warn("apart needs DATABASE_URL: on the embedded database nobody else can do that work");
  const { notes } = await runtime.capabilities();
  process.stdout.write(
    banner({
      address,
      apiKey: config.apiKey === undefined ? apiKey : "(the API_KEY that was given)",
      runtime: runtime.name,
      runtimeReason,
      database: database.kind,
      dataDirectory: config.dataDirectory,
      readyMs: performance.now(),
      notes,
    }),
  );
  await stopSignal(log, "stopping; sandboxes are kept unless INSIEN_ON_STOP says destroy");
  if (config.onStop === "destroy") await server.destroySandboxes();
  await removeServerFile(config.dataDirectory);
}
