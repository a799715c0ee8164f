import type { App } from "../door.ts";

export function addDocsRoutes(app: App): void {
  app.route({
    method: "GET",
    url: "/openapi.json",
    config: { auth: "open" },
    schema: { tags: ["Service"], summary: "This API as an OpenAPI 3.1 document" },
    handler: () => app.swagger(),
  });
}
