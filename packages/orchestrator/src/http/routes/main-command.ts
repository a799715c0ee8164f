import { PassThrough } from "node:stream";
import { AGENT_PATHS, logQuery, mainStatus, sandboxIdParam, stopMainBody } from "@insien/protocol";
import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import { agentRefusal, requestAgent } from "../agent-request.ts";
import { type App, type Door, principalOf, sandboxIdOf } from "../door.ts";
import { LogTexts } from "../log-texts.ts";
import { withErrors } from "../openapi.ts";
import { wayToAgent } from "./file-request.ts";

const tags = ["Main command"];
const JSON_LINES = "application/x-ndjson";
const logContent = {
  content: {
    "text/plain": { schema: z.string() },
    [JSON_LINES]: { schema: z.string() },
  },
};

export function addMainRoutes(app: App, door: Door): void {
  addControl(app, door);
  addLogs(app, door);
}

function addControl(app: App, door: Door): void {
  const { settings } = door.application;

  app.route({
    method: "POST",
    url: "/api/v1/sandboxes/:id/main/restart",
    schema: {
      tags,
      operationId: "restartMain",
      summary: "End the main command where it runs, and start it with all its retries",
      params: sandboxIdParam,
      response: withErrors({ 200: mainStatus }),
    },
    handler: (request) =>
      settings.restartMain(principalOf(request), sandboxIdOf(request.params.id)),
  });

  app.route({
    method: "POST",
    url: "/api/v1/sandboxes/:id/main/stop",
    schema: {
      tags,
      operationId: "stopMain",
      summary: "End the main command; it is not started again before it is asked for",
      params: sandboxIdParam,
      body: stopMainBody.optional(),
      response: withErrors({ 200: mainStatus }),
    },
    handler: (request) => {
      const graceMs = request.body?.grace_ms;
      const options = graceMs === undefined ? {} : { graceMs };
      return settings.stopMain(principalOf(request), sandboxIdOf(request.params.id), options);
    },
  });
}

function addLogs(app: App, door: Door): void {
  app.route({
    method: "GET",
    url: "/api/v1/sandboxes/:id/logs",
    schema: {
      tags,
      operationId: "getLogs",
      summary: "What the main command printed, over all its runs",
      description:
        "With `Accept: application/x-ndjson` each line is an object with `stream` (`stdout`, " +
        "`stderr`, or `system` for its starts and ends), `at` and `text`; otherwise only the texts " +
        "are sent. With `follow=true` the answer goes on for as long as the sandbox runs.",
      params: sandboxIdParam,
      querystring: logQuery,
      response: withErrors({ 200: logContent }),
    },
    handler: (request, reply) => sendLogs(door, request, reply),
  });
}

async function sendLogs(door: Door, request: FastifyRequest, reply: FastifyReply) {
  const { follow, tail } = request.query as z.infer<typeof logQuery>;
  const query = { follow, tail: tail === undefined ? undefined : String(tail) };
  const way = await wayToAgent(door, request, reply, { path: AGENT_PATHS.logs, query });
  const { connector, path, signal } = way;
  const answer = await requestAgent(connector, { method: "GET", path, signal }, (toAgent) =>
    toAgent.end(),
  );
  if (answer.statusCode !== 200) throw await agentRefusal(answer);
  const isJson = request.headers.accept?.includes(JSON_LINES) === true;
  const log = isJson ? new PassThrough() : new LogTexts();
  const id = sandboxIdOf((request.params as z.infer<typeof sandboxIdParam>).id);
  // Where the sandbox ends, its log ends; a break in between is told as one.
  const isOver = () => connector.lost.aborted || !door.application.sandboxes.connected(id);
  answer.once("error", (error) => (isOver() ? log.end() : log.destroy(error)));
  log.once("close", () => answer.destroy());
  return reply.type(isJson ? JSON_LINES : "text/plain; charset=utf-8").send(answer.pipe(log));
}
