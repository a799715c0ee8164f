import {
  type QuotaBody,
  type QuotaView,
  parseMemory,
  quotaBody,
  quotaView,
} from "@insien/protocol";
import { z } from "zod";
import type { QuotaLimits, QuotaStanding } from "../../app/quotas.ts";
import { type App, type Door, principalOf } from "../door.ts";
import { withErrors } from "../openapi.ts";

const tags = ["Quotas"];
const ownerParam = z.object({
  owner_id: z.string().regex(/^[a-z0-9]{4,40}$/, "must be an owner's id"),
});
const clearedAnswer = z.object({ cleared: z.boolean() });

export function addQuotaRoutes(app: App, door: Door): void {
  const { quotas } = door.application;
  const ofOwner = "/api/v1/quotas/:owner_id";

  app.route({
    method: "GET",
    url: "/api/v1/quota",
    schema: {
      tags,
      operationId: "getOwnQuota",
      summary: "What you may have at once, and what you have",
      response: withErrors({ 200: quotaView }),
    },
    handler: async (request) => view(await quotas.own(principalOf(request))),
  });

  app.route({
    method: "GET",
    url: ofOwner,
    schema: {
      tags,
      operationId: "getQuota",
      summary: "An owner's quotas and usage (administrators)",
      params: ownerParam,
      response: withErrors({ 200: quotaView }),
    },
    handler: async (request) =>
      view(await quotas.get(principalOf(request), request.params.owner_id)),
  });

  app.route({
    method: "PUT",
    url: ofOwner,
    schema: {
      tags,
      operationId: "setQuota",
      summary: "Set an owner's quotas; null: no bound, left out: the default (administrators)",
      params: ownerParam,
      body: quotaBody,
      response: withErrors({ 200: quotaView }),
    },
    handler: async (request) =>
      view(
        await quotas.set(principalOf(request), request.params.owner_id, limitsFrom(request.body)),
      ),
  });

  app.route({
    method: "DELETE",
    url: ofOwner,
    schema: {
      tags,
      operationId: "clearQuota",
      summary: "Give an owner the server's defaults again (administrators)",
      params: ownerParam,
      response: withErrors({ 200: clearedAnswer }),
    },
    handler: async (request) => ({
      cleared: await quotas.clear(principalOf(request), request.params.owner_id),
    }),
  });
}

function limitsFrom({ memory, disk, ...rest }: QuotaBody): QuotaLimits {
  const given = { ...rest, memory: bytesFrom(memory), disk: bytesFrom(disk) };
  const known = Object.entries(given).filter(([, limit]) => limit !== undefined);
  return Object.fromEntries(known);
}

const bytesFrom = (size: string | null | undefined): number | null | undefined =>
  typeof size === "string" ? parseMemory(size) : size;

const view = ({ ownerId, bounds, used }: QuotaStanding): QuotaView => ({
  owner_id: ownerId,
  limits: {
    sandboxes: bounds.sandboxes ?? null,
    cpu: bounds.cpu ?? null,
    memory_bytes: bounds.memory ?? null,
    disk_bytes: bounds.disk ?? null,
    creates_per_minute: bounds.creates_per_minute ?? null,
  },
  used: {
    sandboxes: used.sandboxes,
    cpu: used.cpu,
    memory_bytes: used.memory,
    disk_bytes: used.disk,
  },
});
