import { type UsageSample, sandboxIdParam, usageAnswer, usageQuery } from "@insien/protocol";
import type { UsageHistory } from "../../app/usage.ts";
import { type App, type Door, principalOf, sandboxIdOf } from "../door.ts";
import { withErrors } from "../openapi.ts";

type Sample = Awaited<ReturnType<UsageHistory["history"]>>["items"][number];

export function addUsageRoutes(app: App, door: Door): void {
  const { usage } = door.application;

  app.route({
    method: "GET",
    url: "/api/v1/sandboxes/:id/metrics",
    config: { holder: "unneeded" },
    schema: {
      tags: ["Sandboxes"],
      operationId: "getUsage",
      summary: "What a sandbox used: the last hour, or another range",
      description:
        "Each sample is the end of a step: the mean of cores, the highest of everything else. " +
        "`step_seconds` is made longer where the range would not fit into one answer.",
      params: sandboxIdParam,
      querystring: usageQuery,
      response: withErrors({ 200: usageAnswer }),
    },
    handler: async (request) => {
      const { from, to, step_seconds: stepSeconds } = request.query;
      const id = sandboxIdOf(request.params.id);
      const answer = await usage.history(principalOf(request), id, {
        from: from === undefined ? undefined : new Date(from),
        to: to === undefined ? undefined : new Date(to),
        stepSeconds,
      });
      return { step_seconds: answer.stepSeconds, items: answer.items.map(sampleView) };
    },
  });
}

const sampleView = (sample: Sample): UsageSample => ({
  at: sample.at.toISOString(),
  cpu_cores: Math.round(sample.cpuCores * 10_000) / 10_000,
  memory_bytes: sample.memoryBytes,
  memory_limit_bytes: sample.memoryLimitBytes,
  pids: sample.pids,
  network_received_bytes: sample.networkReceivedBytes,
  network_sent_bytes: sample.networkSentBytes,
  disk_read_bytes: sample.diskReadBytes,
  disk_written_bytes: sample.diskWrittenBytes,
  ...(sample.diskBytes === undefined ? {} : { disk_bytes: sample.diskBytes }),
});
