import swagger from "@fastify/swagger";
import {
  createSandboxBody,
  createdKey,
  errorAnswer,
  eventView,
  execAnswer,
  execBody,
  keyView,
  sandboxView,
} from "@insien/protocol";
import { createJsonSchemaTransform, createJsonSchemaTransformObject } from "fastify-type-provider-zod";
import { z } from "zod";
import type { App } from "./door.ts";

/** Schemas that get a name of their own in the document. */
const schemaRegistry = z.registry<{ id: string }>();
schemaRegistry.add(sandboxView, { id: "Sandbox" });
schemaRegistry.add(createSandboxBody, { id: "CreateSandbox" });
schemaRegistry.add(execBody, { id: "Exec" });
schemaRegistry.add(execAnswer, { id: "ExecAnswer" });
schemaRegistry.add(eventView, { id: "Event" });
schemaRegistry.add(keyView, { id: "Key" });
schemaRegistry.add(createdKey, { id: "CreatedKey" });
schemaRegistry.add(errorAnswer, { id: "Error" });

/** Adds the error answer, which every route may give with any status of 400 and above. */
export function withErrors<Responses extends object>(responses: Responses) {
  return { ...responses, default: errorAnswer };
}

const DESCRIPTION = `Sandboxes: machines of your own to run untrusted code in.

Every call needs an API key, in \`X-API-Key\` or as \`Authorization: Bearer\`. Errors have the shape
\`{ error: { code, message, hint, retryable, details, requestId } }\`. Pages of any origin may call the
API with a key; cookies play no part.`;

/** Gathers every route added after it into one OpenAPI 3.1 document (\`app.swagger()\`). */
export async function addOpenApi(app: App, version: string): Promise<void> {
  await app.register(swagger, {
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
    transform: createJsonSchemaTransform({ schemaRegistry }),
    transformObject: createJsonSchemaTransformObject({ schemaRegistry }),
  });
}
