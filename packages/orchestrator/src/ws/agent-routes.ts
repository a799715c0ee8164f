import { InsienError, sandboxIdParam } from "@insien/protocol";
import { z } from "zod";
import type { App } from "../http/door.ts";
import { withErrors } from "../http/openapi.ts";

const KEYS =
  "Browsers, which cannot set headers, offer the subprotocols `insien.rpc.v1` and " +
  "`insien.key.<key>`, or send `?api_key=`.";

const portParam = sandboxIdParam.extend({ port: z.coerce.number().int().min(1).max(65_535) });

/**
 * The WebSocket addresses as plain routes: they appear in the documents, and whoever comes without
 * an upgrade is told what is missing. Upgrades themselves never reach the router.
 */
export function addAgentRoutes(app: App): void {
  const handler = (): never => {
    throw new InsienError("upgrade_required", "This address speaks WebSocket only");
  };
  app.route({
    method: "GET",
    url: "/agent/:id",
    schema: {
      tags: ["WebSockets"],
      operationId: "connectAgent",
      summary: "RPC with the sandbox's agent",
      description:
        "JSON frames `{ id, type, ... }`, answered by " +
        `\`{ id, type: "<type>Response", ... }\`. ${KEYS}`,
      params: sandboxIdParam,
      response: withErrors({}),
    },
    handler,
  });
  app.route({
    method: "GET",
    url: "/agent/:id/ports/:port",
    schema: {
      tags: ["WebSockets"],
      operationId: "connectPort",
      summary: "A byte stream to a TCP port inside the sandbox, as binary messages",
      description: KEYS,
      params: portParam,
      response: withErrors({}),
    },
    handler,
  });
}
