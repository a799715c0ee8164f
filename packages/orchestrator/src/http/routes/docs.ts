import { DOCS_POLICY, docsPage } from "../docs-page.ts";
import type { App } from "../door.ts";
import type { OpenApiDocument } from "../openapi.ts";

const tags = ["Service"];

/** The document and the page made from it. Neither changes while the server runs. */
export function addDocsRoutes(app: App): void {
  let page: string | undefined;

  app.route({
    method: "GET",
    url: "/openapi.json",
    config: { auth: "open" },
    schema: {
      tags,
      operationId: "openapi",
      summary: "This API as an OpenAPI 3.1 document",
      security: [],
    },
    handler: () => app.swagger(),
  });

  app.route({
    method: "GET",
    url: "/docs",
    config: { auth: "open" },
    schema: { tags, operationId: "docs", summary: "This API as a page", security: [] },
    handler: (_request, reply) => {
      page ??= docsPage(app.swagger() as OpenApiDocument);
      void reply.header("content-security-policy", DOCS_POLICY).type("text/html; charset=utf-8");
      return reply.serializer(String).send(page);
    },
  });
}
