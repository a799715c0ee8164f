import { InsienError } from "@insien/protocol";
import type { FastifyReply } from "fastify";
import { z } from "zod";
import type { App } from "../door.ts";
import { StudioFiles, type StudioAnswer } from "../studio-files.ts";

/** The addresses that people see; the page itself knows what to show at each. */
const PAGES = ["/", "/sign-in", "/sandboxes", "/sandboxes/:id", "/keys", "/settings"] as const;
const NOT_BUILT =
  "Insien runs. Its page is not built: run `npm run build --workspace=@insien/studio` and start the server again. The API is described at /docs.\n";

const config = { auth: "open", holder: "unneeded" } as const;

/** The studio. Its pages say nothing about anyone: what they show, they ask the API for. */
export function addStudioRoutes(
  app: App,
  files: StudioFiles | "not built" = StudioFiles.read() ?? "not built",
): void {
  if (files === "not built") {
    app.route({
      method: "GET",
      url: "/",
      config,
      schema: { hide: true },
      handler: (_request, reply) =>
        reply.type("text/plain; charset=utf-8").serializer(String).send(NOT_BUILT),
    });
    return;
  }
  const send = (reply: FastifyReply, { body, headers }: StudioAnswer) =>
    reply
      .headers(headers)
      .serializer((text: string) => text)
      .send(body);
  for (const url of PAGES) {
    app.route({
      method: "GET",
      url,
      config,
      schema: { hide: true },
      handler: (_request, reply) => send(reply, files.page()),
    });
  }
  const addFile = (url: string, nameOf: (given: string) => string): void => {
    app.route({
      method: "GET",
      url,
      config,
      schema: { hide: true, params: z.object({ name: z.string().max(200).optional() }) },
      handler: (request, reply) => {
        const name = nameOf(request.params.name ?? "");
        const answer = files.file(name, request.headers["accept-encoding"]);
        if (answer === undefined)
          throw new InsienError(
            "route_not_found",
            `There is no GET ${url.replace(":name", name)} here`,
          );
        return send(reply, answer);
      },
    });
  };
  addFile("/assets/:name", (given) => given);
  addFile("/icon.svg", () => "icon.svg");
}
