import type {
  FastifyBaseLogger,
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  RawServerDefault,
} from "fastify";
import type { ZodTypeProvider } from "fastify-type-provider-zod";
import type { IncomingMessage, ServerResponse } from "node:http";
import { InsienError, type SandboxId, asSandboxId } from "@insien/protocol";
import type { Application } from "../app/application.ts";
import type { Principal } from "../app/principal.ts";
import type { Reached } from "./agent-urls.ts";
import type { DoorLimits } from "./door-limits.ts";
import type { PortUrls } from "./port-urls.ts";

/** The server that routes are added to: requests and answers are typed by their zod schemas. */
export type App = FastifyInstance<
  RawServerDefault,
  IncomingMessage,
  ServerResponse,
  FastifyBaseLogger,
  ZodTypeProvider
>;

/** What every route works with. */
export interface Door {
  application: Application;
  limits: DoorLimits;
  version: string;
  agentUrl(reached: Reached, sandboxId: string): string;
  portUrls: PortUrls;
  /** Where people's browsers reach this server, when that is not told by their requests. */
  publicUrl: string | undefined;
}

/** Who may call a route: the holder of a key or a person who signed in, or anyone. */
export type RouteAuth = "key" | "open";

declare module "fastify" {
  interface FastifyContextConfig {
    /** `key` when absent: a route is open only by saying so. */
    auth?: RouteAuth;
    /** The body is a file on its way, not JSON: no time limit and no size limit hold for it. */
    streamsBody?: boolean;
    /**
     * Of a route about one sandbox: whether the node that holds its machine must answer (when
     * absent), should, but any other can while it is silent, or need not be asked at all.
     */
    holder?: "required" | "preferred" | "unneeded";
  }
  interface FastifyRequest {
    principal: Principal | undefined;
  }
}

/** The caller. Throws on a route that is open to all, which has none. */
export function principalOf(request: FastifyRequest): Principal {
  if (request.principal === undefined) {
    throw new InsienError("internal", "A route without authentication asked who is calling");
  }
  return request.principal;
}

/** An id that its schema has checked already. */
export function sandboxIdOf(text: string): SandboxId {
  const id = asSandboxId(text);
  if (id === undefined)
    throw new InsienError("sandbox_not_found", `Sandbox ${text} does not exist`);
  return id;
}

/** Aborted when the client goes away before its answer was sent. */
export function clientGone(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once("close", () => {
    if (reply.raw.writableFinished) return;
    controller.abort(new InsienError("connection_lost", "The client closed its connection"));
  });
  return controller.signal;
}
