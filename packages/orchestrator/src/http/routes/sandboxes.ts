import {
  type CreateProgressLine,
  type CreateSandboxBody,
  LIMITS,
  createSandboxBody,
  listSandboxesQuery,
  sandboxIdParam,
  sandboxList,
  sandboxView as sandboxViewSchema,
  timeoutBody,
} from "@insien/protocol";
import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import type { Sandbox } from "../../app/application.ts";
import type { Reached } from "../agent-urls.ts";
import { type App, type Door, clientGone, principalOf, sandboxIdOf } from "../door.ts";
import { asInsienError } from "../error-answer.ts";
import { LineStream, wantsLines } from "../line-stream.ts";
import { streamedLines, withErrors } from "../openapi.ts";
import { sandboxView } from "../sandbox-view.ts";
import { withoutNulls } from "../without-nulls.ts";

const tags = ["Sandboxes"];
const destroyedAnswer = z.object({ destroyed: z.boolean() });
const stopBody = z.strictObject({ grace_ms: z.int().min(0).max(60_000).optional() });

export function addSandboxRoutes(app: App, door: Door): void {
  addCreate(app, door);
  addReading(app, door);
  addChanging(app, door);
  addRestart(app, door);
}

function addCreate(app: App, door: Door): void {
  app.route({
    method: "POST",
    url: "/api/v1/sandboxes",
    // The one body that may carry files: what an image is built from.
    bodyLimit: door.limits.requestBodyBytes + LIMITS.buildContextBytes.value,
    schema: {
      tags,
      operationId: "createSandbox",
      summary: "Create a sandbox and wait until it runs",
      description:
        "With `Accept: application/x-ndjson` the answer is a stream of lines: `progress` as images " +
        "are pulled or built and the machine boots, then `sandbox` or `error` once. With " +
        "`build_context`, what the build prints is in the messages of step `build`. `null` is the " +
        "same as leaving a field out.",
      body: createSandboxBody.optional(),
      response: withErrors({ 201: sandboxViewSchema, 200: streamedLines }),
    },
    preValidation: (request, _reply, done) => {
      request.body = withoutNulls(request.body) as typeof request.body;
      done();
    },
    handler: async (request, reply) => {
      const body = request.body ?? {};
      const format = wantsLines(request.headers.accept);
      if (format !== undefined) return createWithProgress(door, request, reply, body);
      const options = { signal: clientGone(reply) };
      const sandbox = await door.application.sandboxes.create(principalOf(request), body, options);
      return reply
        .code(201)
        .header("location", `/api/v1/sandboxes/${sandbox.id}`)
        .send(view(door, request, sandbox));
    },
  });
}

function createWithProgress(
  door: Door,
  request: FastifyRequest,
  reply: FastifyReply,
  body: CreateSandboxBody,
): FastifyReply {
  const lines = new LineStream<CreateProgressLine>(wantsLines(request.headers.accept) ?? "ndjson");
  const options = {
    signal: clientGone(reply),
    onProgress: (progress: Omit<CreateProgressLine & { type: "progress" }, "type">) => {
      lines.send({ type: "progress", ...progress });
    },
  };
  door.application.sandboxes
    .create(principalOf(request), body, options)
    .then((sandbox) => lines.send({ type: "sandbox", sandbox: view(door, request, sandbox) }))
    .catch((error: unknown) => {
      lines.send({ type: "error", error: asInsienError(error).toBody(request.id) });
    })
    .finally(() => lines.end());
  return reply.type(lines.contentType).send(lines.readable);
}

function addReading(app: App, door: Door): void {
  const { sandboxes } = door.application;

  app.route({
    method: "GET",
    url: "/api/v1/sandboxes",
    schema: {
      tags,
      operationId: "listSandboxes",
      summary: "List your sandboxes, newest first",
      querystring: listSandboxesQuery,
      response: withErrors({ 200: sandboxList }),
    },
    handler: async (request) => {
      const { state, limit, cursor } = request.query;
      const page = await sandboxes.list(principalOf(request), {
        ...(state === undefined ? {} : { state }),
        ...(limit === undefined ? {} : { limit }),
        ...(cursor === undefined ? {} : { cursor }),
      });
      const items = page.items.map((sandbox) => view(door, request, sandbox));
      return { items, next_cursor: page.nextCursor };
    },
  });

  app.route({
    method: "GET",
    url: "/api/v1/sandboxes/:id",
    config: { holder: "unneeded" },
    schema: {
      tags,
      operationId: "getSandbox",
      summary: "Get one sandbox",
      params: sandboxIdParam,
      response: withErrors({ 200: sandboxViewSchema }),
    },
    handler: async (request) => {
      const sandbox = await sandboxes.get(principalOf(request), sandboxIdOf(request.params.id));
      return view(door, request, sandbox);
    },
  });
}

function addChanging(app: App, door: Door): void {
  const { sandboxes } = door.application;

  app.route({
    method: "DELETE",
    url: "/api/v1/sandboxes/:id",
    config: { holder: "preferred" },
    schema: {
      tags,
      operationId: "destroySandbox",
      summary: "Destroy a sandbox; `destroyed` is false when it was already",
      params: sandboxIdParam,
      response: withErrors({ 200: destroyedAnswer }),
    },
    handler: async (request) => {
      const id = sandboxIdOf(request.params.id);
      return { destroyed: await sandboxes.destroy(principalOf(request), id) };
    },
  });

  app.route({
    method: "POST",
    url: "/api/v1/sandboxes/:id/timeout",
    schema: {
      tags,
      operationId: "setTimeouts",
      summary: "Set how long a sandbox lives from now, and how long it may idle",
      params: sandboxIdParam,
      body: timeoutBody,
      response: withErrors({ 200: sandboxViewSchema }),
    },
    handler: async (request) => {
      const { ttl_seconds: ttlSeconds, idle_timeout_seconds: idleTimeoutSeconds } = request.body;
      const id = sandboxIdOf(request.params.id);
      const sandbox = await sandboxes.extend(principalOf(request), id, {
        ...(ttlSeconds === undefined ? {} : { ttlSeconds }),
        ...(idleTimeoutSeconds === undefined ? {} : { idleTimeoutSeconds }),
      });
      return view(door, request, sandbox);
    },
  });

  app.route({
    method: "POST",
    url: "/api/v1/sandboxes/:id/stop",
    schema: {
      tags,
      operationId: "stopSandbox",
      summary: "Stop a sandbox's machine and keep its files",
      params: sandboxIdParam,
      body: stopBody.optional(),
      response: withErrors({ 200: sandboxViewSchema }),
    },
    handler: async (request) => {
      const graceMs = request.body?.grace_ms;
      const options = graceMs === undefined ? {} : { graceMs };
      const id = sandboxIdOf(request.params.id);
      const sandbox = await sandboxes.stop(principalOf(request), id, options);
      return view(door, request, sandbox);
    },
  });

  app.route({
    method: "POST",
    url: "/api/v1/sandboxes/:id/start",
    schema: {
      tags,
      operationId: "startSandbox",
      summary: "Start a stopped sandbox again",
      params: sandboxIdParam,
      response: withErrors({ 200: sandboxViewSchema }),
    },
    handler: async (request) => {
      const sandbox = await sandboxes.start(principalOf(request), sandboxIdOf(request.params.id));
      return view(door, request, sandbox);
    },
  });
}

function addRestart(app: App, door: Door): void {
  app.route({
    method: "POST",
    url: "/api/v1/sandboxes/:id/restart",
    schema: {
      tags,
      operationId: "restartSandbox",
      summary: "Stop and start a sandbox as one act, or start a stopped one; its files stay",
      params: sandboxIdParam,
      body: stopBody.optional(),
      response: withErrors({ 200: sandboxViewSchema }),
    },
    handler: async (request) => {
      const graceMs = request.body?.grace_ms;
      const options = graceMs === undefined ? {} : { graceMs };
      const id = sandboxIdOf(request.params.id);
      const { sandboxes } = door.application;
      const sandbox = await sandboxes.restart(principalOf(request), id, options);
      return view(door, request, sandbox);
    },
  });
}

const view = (door: Door, reached: Reached, sandbox: Sandbox) =>
  sandboxView(sandbox, door.agentUrl(reached, sandbox.id));
