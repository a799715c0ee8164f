import { createKeyBody, createdKey, keyView as keyViewSchema } from "@insien/protocol";
import { z } from "zod";
import { type App, type Door, principalOf } from "../door.ts";
import { withErrors } from "../openapi.ts";
import { keyView } from "../sandbox-view.ts";

const tags = ["Keys"];
const keyIdParam = z.object({ id: z.string().min(1).max(64) });
const keyList = z.object({ items: z.array(keyViewSchema) });
const revokedAnswer = z.object({ revoked: z.boolean() });

export function addKeyRoutes(app: App, door: Door): void {
  const { keys } = door.application;

  app.route({
    method: "GET",
    url: "/api/v1/keys",
    schema: {
      tags,
      operationId: "listKeys",
      summary: "List API keys",
      response: withErrors({ 200: keyList }),
    },
    handler: async (request) => {
      const list = await keys.list(principalOf(request));
      return { items: list.map(keyView) };
    },
  });

  app.route({
    method: "POST",
    url: "/api/v1/keys",
    schema: {
      tags,
      operationId: "createKey",
      summary: "Make an API key; its text is in this answer and nowhere else",
      body: createKeyBody,
      response: withErrors({ 201: createdKey }),
    },
    handler: async (request, reply) => {
      const { name, owner_id: ownerId, admin } = request.body;
      const created = await keys.create(principalOf(request), {
        name,
        ...(ownerId === undefined ? {} : { ownerId }),
        ...(admin === undefined ? {} : { admin }),
      });
      return reply.code(201).send({ ...keyView(created), key: created.key });
    },
  });

  app.route({
    method: "DELETE",
    url: "/api/v1/keys/:id",
    schema: {
      tags,
      operationId: "revokeKey",
      summary: "Revoke an API key; `revoked` is false when there was none",
      params: keyIdParam,
      response: withErrors({ 200: revokedAnswer }),
    },
    handler: async (request) => ({
      revoked: await keys.revoke(principalOf(request), request.params.id),
    }),
  });
}
