import { type sandboxIdParam, volumeParam } from "@insien/protocol";
import type { FastifyRequest } from "fastify";
import type { z } from "zod";
import { type Door, principalOf, sandboxIdOf } from "./door.ts";

/** The parameters of a route about one volume of a sandbox. */
export const ofVolume = (params: typeof sandboxIdParam) => params.extend(volumeParam.shape);

/** A path in the sandbox: on a route about one of its volumes, the request's path is in that one. */
export async function pathMeant(
  door: Door,
  request: FastifyRequest,
  path: string,
): Promise<string> {
  const params = request.params as Partial<z.infer<ReturnType<typeof ofVolume>>>;
  if (params.volume === undefined) return path;
  const id = sandboxIdOf(params.id ?? "");
  return door.application.mounts.pathIn(principalOf(request), id, params.volume, path);
}
