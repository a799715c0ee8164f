import {
  changeUserBody,
  createUserBody,
  personView as personViewSchema,
  userList,
  usersQuery,
} from "@insien/protocol";
import { z } from "zod";
import { type App, type Door, principalOf } from "../door.ts";
import { withErrors } from "../openapi.ts";
import { personView } from "../person-view.ts";

const tags = ["Users"];
const idParam = z.object({ id: z.string().min(1).max(64) });

/** What administrators do with everybody's accounts. */
export function addUserRoutes(app: App, door: Door): void {
  const { people } = door.application;

  app.route({
    method: "GET",
    url: "/api/v1/users",
    schema: {
      tags,
      operationId: "listUsers",
      summary: "List accounts (administrators)",
      querystring: usersQuery,
      response: withErrors({ 200: userList }),
    },
    handler: async (request) => {
      const { limit, cursor } = request.query;
      const { items, nextCursor } = await people.list(principalOf(request), {
        ...(limit === undefined ? {} : { limit }),
        ...(cursor === undefined ? {} : { cursor }),
      });
      const next = nextCursor === undefined ? {} : { next_cursor: nextCursor };
      return { items: items.map(personView), ...next };
    },
  });

  app.route({
    method: "POST",
    url: "/api/v1/users",
    schema: {
      tags,
      operationId: "createUser",
      summary: "Make an account (administrators); the first is an administrator's",
      body: createUserBody,
      response: withErrors({ 201: personViewSchema }),
    },
    handler: async (request, reply) => {
      const { email, name, password, admin } = request.body;
      const person = await people.create(principalOf(request), {
        ...{ email, name },
        ...(password === undefined ? {} : { password }),
        ...(admin === undefined ? {} : { admin }),
      });
      return reply.code(201).send(personView(person));
    },
  });

  app.route({
    method: "PATCH",
    url: "/api/v1/users/:id",
    schema: {
      tags,
      operationId: "changeUser",
      summary: "Disable an account, or enable it again (administrators)",
      params: idParam,
      body: changeUserBody,
      response: withErrors({ 200: personViewSchema }),
    },
    handler: async (request) => {
      const { id } = request.params;
      return personView(await people.setDisabled(principalOf(request), id, request.body.disabled));
    },
  });
}
