import { STATUS_CODES } from "node:http";
import swagger from "@fastify/swagger";
import {
  createKeyBody,
  createSandboxBody,
  createdKey,
  errorAnswer,
  eventView,
  execAnswer,
  execBody,
  keyView,
  sandboxView,
  timeoutBody,
} from "@insien/protocol";
import {
  createJsonSchemaTransform,
  createJsonSchemaTransformObject,
} from "fastify-type-provider-zod";
import type { OpenAPIV3_1 } from "openapi-types";
import { z } from "zod";
import type { App } from "./door.ts";

export type OpenApiDocument = OpenAPIV3_1.Document;
export type Operation = OpenAPIV3_1.OperationObject & { [BODY_IS_OPTIONAL]?: true };

export const OPERATION_METHODS = ["get", "head", "post", "put", "patch", "delete"] as const;
const BODY_IS_OPTIONAL = "x-body-is-optional";

/** Schemas that get a name of their own in the document, and an example where people send them. */
const schemaRegistry = z.registry<{ id: string; examples?: unknown[] }>();
schemaRegistry.add(sandboxView, { id: "Sandbox" });
schemaRegistry.add(createSandboxBody, {
  id: "CreateSandbox",
  examples: [{ name: "build", resources: { memory: "1g" }, idle_timeout_seconds: 600 }],
});
schemaRegistry.add(timeoutBody, { id: "Timeout", examples: [{ ttl_seconds: 3600 }] });
schemaRegistry.add(execBody, { id: "Exec", examples: [{ shell: "uname -a; id" }] });
schemaRegistry.add(execAnswer, { id: "ExecAnswer" });
schemaRegistry.add(eventView, { id: "Event" });
schemaRegistry.add(keyView, { id: "Key" });
schemaRegistry.add(createKeyBody, { id: "CreateKey", examples: [{ name: "ci" }] });
schemaRegistry.add(createdKey, { id: "CreatedKey" });
schemaRegistry.add(errorAnswer, { id: "Error" });

/** Adds the error answer, which every route may give with any status of 400 and above. */
export function withErrors<Responses extends object>(responses: Responses) {
  return { ...responses, default: errorAnswer };
}

/** For the schema of a response that is a stream of lines. */
export const streamedLines = {
  content: {
    "application/x-ndjson": { schema: z.string() },
    "text/event-stream": { schema: z.string() },
  },
};

const DESCRIPTION = `Sandboxes: machines of your own to run untrusted code in.

Every call needs an API key, in \`X-API-Key\` or as \`Authorization: Bearer\`, or the access token of a
person who signed in. Errors have the shape
\`{ error: { code, message, hint, retryable, details, requestId } }\`. Pages of any origin may call
the API with a key; cookies play no part but in refreshing and ending sessions of this server's own pages.`;

/** Gathers every route added after it into one OpenAPI 3.1 document (\`app.swagger()\`). */
export async function addOpenApi(app: App, version: string): Promise<void> {
  const transform = createJsonSchemaTransform({ schemaRegistry });
  const transformObject = createJsonSchemaTransformObject({ schemaRegistry });
  await app.register(swagger, {
    exposeHeadRoutes: true,
    openapi: {
      openapi: "3.1.0",
      info: { title: "Insien", version, description: DESCRIPTION },
      components: {
        securitySchemes: {
          apiKey: { type: "apiKey", in: "header", name: "X-API-Key" },
          bearer: { type: "http", scheme: "bearer" },
        },
      },
      security: [{ apiKey: [] }, { bearer: [] }],
    },
    transform: (document) => {
      const { schema, url } = transform(document);
      const isOptional = document.schema?.body instanceof z.ZodOptional;
      return { url, schema: { ...schema, ...(isOptional ? { [BODY_IS_OPTIONAL]: true } : {}) } };
    },
    transformObject: (document) => {
      const transformed = transformObject(document);
      if ("paths" in transformed) tidy(transformed as OpenApiDocument);
      return transformed;
    },
  });
}

/** Every operation of the document, in its order. */
export function operationsOf(
  document: OpenApiDocument,
): { method: string; path: string; operation: Operation }[] {
  return Object.entries(document.paths ?? {}).flatMap(([path, item]) =>
    OPERATION_METHODS.flatMap((method) => {
      const operation = item?.[method];
      return operation === undefined ? [] : [{ method, path, operation }];
    }),
  );
}

/** Says what the generator cannot know: which bodies may be absent, and what statuses mean. */
function tidy(document: OpenApiDocument): void {
  for (const { operation } of operationsOf(document)) {
    if (operation[BODY_IS_OPTIONAL] === true) {
      delete operation[BODY_IS_OPTIONAL];
      if (operation.requestBody !== undefined && "content" in operation.requestBody) {
        operation.requestBody.required = false;
      }
    }
    for (const [status, response] of Object.entries(operation.responses ?? {})) {
      if (!("description" in response)) continue;
      response.description = status === "default" ? "Any error" : (STATUS_CODES[status] ?? status);
    }
  }
  dropUnusedSchemas(document);
}

/** Each named schema is generated as input and as output; only what a route uses stays. */
function dropUnusedSchemas(document: OpenApiDocument): void {
  const schemas = document.components?.schemas ?? {};
  const text = JSON.stringify(document);
  for (const name of Object.keys(schemas)) {
    if (!text.includes(`"#/components/schemas/${name}"`)) delete schemas[name];
  }
}
