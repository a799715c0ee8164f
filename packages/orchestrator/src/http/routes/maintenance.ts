import { cleanupAnswer, cleanupBody } from "@insien/protocol";
import { type App, type Door, principalOf } from "../door.ts";
import { withErrors } from "../openapi.ts";

const tags = ["Maintenance"];
const url = "/api/v1/maintenance/cleanup";

export function addMaintenanceRoutes(app: App, door: Door): void {
  const { maintenance } = door.application;

  app.route({
    method: "GET",
    url,
    schema: {
      tags,
      operationId: "planCleanup",
      summary: "What a cleanup of this node would remove (administrators)",
      response: withErrors({ 200: cleanupAnswer }),
    },
    handler: async (request) => ({
      dry_run: true,
      items: await maintenance.cleanup(principalOf(request), { dryRun: true }),
    }),
  });

  app.route({
    method: "POST",
    url,
    schema: {
      tags,
      operationId: "cleanUp",
      summary: "Remove what nobody owns on this node, now (administrators)",
      body: cleanupBody.optional(),
      response: withErrors({ 200: cleanupAnswer }),
    },
    handler: async (request) => {
      const dryRun = request.body?.dry_run === true;
      const items = await maintenance.cleanup(principalOf(request), { dryRun });
      return { dry_run: dryRun, items };
    },
  });
}
