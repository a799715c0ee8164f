import { type SandboxId, asSandboxId } from "@insien/protocol";
import type { FastifyReply, FastifyRequest } from "fastify";
import { nodeSilent } from "../app/node-directory.ts";
import { type App, principalOf } from "./door.ts";
import { asInsienError } from "./error-answer.ts";
import type { NodeGateway } from "./node-gateway.ts";

/** The routes about one sandbox; its WebSockets never reach the router. */
const OF_ONE_SANDBOX = /^\/(?:api\/v1\/sandboxes|sandbox)\/:id(?:\/|$)/;

export interface NodeRouting {
  gateway: NodeGateway;
  agentUrl(request: FastifyRequest, sandboxId: string): string;
}

/** Hands requests about a sandbox to the node that holds it, before this one reads their body. */
export function addNodeRouting(app: App, routing: NodeRouting): void {
  app.addHook("onRequest", async (request, reply) => {
    const { url = "", config } = request.routeOptions;
    if (request.is404 || config.holder === "unneeded" || !OF_ONE_SANDBOX.test(url)) return;
    // What is no id is told so by the route's own schema.
    const id = asSandboxId((request.params as { id: string }).id);
    if (id !== undefined) await route(request, reply, id, routing);
  });
}

async function route(
  request: FastifyRequest,
  reply: FastifyReply,
  sandboxId: SandboxId,
  { gateway, agentUrl }: NodeRouting,
): Promise<void> {
  const place = await gateway.locate(principalOf(request), sandboxId, request.headers);
  if (place === undefined) return;
  const { nodeId, url } = place;
  const withoutBody = request.routeOptions.config.holder === "preferred";
  try {
    if (url === undefined) throw nodeSilent(sandboxId, nodeId);
    await gateway.handOver(request, reply, {
      place: { nodeId, url },
      sandboxId,
      agentUrl: agentUrl(request, sandboxId),
      withoutBody,
    });
  } catch (error) {
    if (!withoutBody || reply.raw.destroyed) throw error;
    request.log.info(
      { reason: asInsienError(error).message },
      "answering for a node that is silent",
    );
  }
}
