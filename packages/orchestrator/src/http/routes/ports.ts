import {
  changePortBody,
  portConfig,
  portLink,
  portLinkBody,
  portList,
  portView,
  sandboxIdParam,
} from "@insien/protocol";
import { z } from "zod";
import { type App, type Door, principalOf, sandboxIdOf } from "../door.ts";
import { withErrors } from "../openapi.ts";

const tags = ["Ports"];
const portParam = sandboxIdParam.extend({ port: z.coerce.number().int().min(1).max(65_535) });
const removedAnswer = z.object({ removed: z.boolean() });

export function addPortRoutes(app: App, door: Door): void {
  const { ports } = door.application;

  app.route({
    method: "GET",
    url: "/api/v1/sandboxes/:id/ports",
    schema: {
      tags,
      operationId: "listPorts",
      summary: "The ports that a sandbox was given, with their addresses",
      params: sandboxIdParam,
      response: withErrors({ 200: portList }),
    },
    handler: async (request) => {
      const { id } = request.params;
      const list = await ports.list(principalOf(request), sandboxIdOf(id));
      return { items: list.map((port) => door.portUrls.view(request, id, port)) };
    },
  });

  app.route({
    method: "POST",
    url: "/api/v1/sandboxes/:id/ports",
    schema: {
      tags,
      operationId: "addPort",
      summary: "Give a sandbox a port: a subdomain, an external port, or access for all",
      description:
        "Any port of a sandbox is reached with a key or a link without this. `conflict` names the " +
        "subdomain or the external port that is taken.",
      params: sandboxIdParam,
      body: portConfig,
      response: withErrors({ 201: portView }),
    },
    handler: async (request, reply) => {
      const { id } = request.params;
      const port = await ports.add(principalOf(request), sandboxIdOf(id), request.body);
      return reply.code(201).send(door.portUrls.view(request, id, port));
    },
  });

  app.route({
    method: "PATCH",
    url: "/api/v1/sandboxes/:id/ports/:port",
    schema: {
      tags,
      operationId: "changePort",
      summary: "Open a port to everyone who has its address, or close it again",
      params: portParam,
      body: changePortBody,
      response: withErrors({ 200: portView }),
    },
    handler: async (request) => {
      const { id, port: internal } = request.params;
      const principal = principalOf(request);
      const port = await ports.change(principal, sandboxIdOf(id), internal, request.body);
      return door.portUrls.view(request, id, port);
    },
  });

  app.route({
    method: "DELETE",
    url: "/api/v1/sandboxes/:id/ports/:port",
    schema: {
      tags,
      operationId: "removePort",
      summary: "Take a port back; `removed` is false when there was none",
      params: portParam,
      response: withErrors({ 200: removedAnswer }),
    },
    handler: async (request) => {
      const { id, port } = request.params;
      const removed = await ports.remove(principalOf(request), sandboxIdOf(id), port);
      return { removed };
    },
  });

  app.route({
    method: "POST",
    url: "/api/v1/sandboxes/:id/ports/:port/link",
    schema: {
      tags,
      operationId: "linkPort",
      summary: "Addresses that open a port for whoever has them, until they expire",
      description: "For a day unless said otherwise; never longer than the sandbox is there.",
      params: portParam,
      body: portLinkBody.optional(),
      response: withErrors({ 200: portLink }),
    },
    handler: async (request) => {
      const { id, port } = request.params;
      const seconds = request.body?.expires_in_seconds;
      const made = await ports.link(principalOf(request), sandboxIdOf(id), port, {
        ...(seconds === undefined ? {} : { expiresInSeconds: seconds }),
      });
      return door.portUrls.link(request, id, made);
    },
  });
}
