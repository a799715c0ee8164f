import {
  type ExecBody,
  type ExecLine,
  execAnswer,
  execBody,
  sandboxIdParam,
} from "@insien/protocol";
import type { FastifyReply, FastifyRequest } from "fastify";
import type { AgentConnector } from "../../line/agent-connector.ts";
import { type App, type Door, clientGone, principalOf, sandboxIdOf } from "../door.ts";
import { ExecStream } from "../exec-stream.ts";
import { type LineFormat, LineStream, wantsLines } from "../line-stream.ts";
import { streamedLines, withErrors } from "../openapi.ts";

export function addExecRoutes(app: App, door: Door): void {
  app.route({
    method: "POST",
    url: "/api/v1/sandboxes/:id/exec",
    schema: {
      tags: ["Commands"],
      operationId: "exec",
      summary: "Run a command to its end",
      description:
        "With `Accept: application/x-ndjson` or `text/event-stream` the output comes as it is " +
        "printed: `started`, then `stdout` and `stderr` with text in `data`, then `exit` or " +
        "`error` once. A client that goes away ends the command.",
      params: sandboxIdParam,
      body: execBody,
      response: withErrors({
        200: {
          content: { "application/json": { schema: execAnswer }, ...streamedLines.content },
        },
      }),
    },
    handler: async (request, reply) => {
      const { sandboxes } = door.application;
      const principal = principalOf(request);
      const id = sandboxIdOf(request.params.id);
      const signal = clientGone(reply);
      const format = wantsLines(request.headers.accept);
      if (format === undefined) {
        return reply.send(await sandboxes.exec(principal, id, request.body, { signal }));
      }
      const connector = await sandboxes.connect(principal, id, { signal });
      return streamed(connector, request.body, format, { request, reply, signal });
    },
  });
}

function streamed(
  connector: AgentConnector,
  body: ExecBody,
  format: LineFormat,
  exchange: { request: FastifyRequest; reply: FastifyReply; signal: AbortSignal },
): FastifyReply {
  const { request, reply, signal } = exchange;
  const lines = new LineStream<ExecLine>(format);
  void new ExecStream(lines).run(connector, body, { signal, requestId: request.id });
  return reply.type(lines.contentType).send(lines.readable);
}
