import { type sandboxIdParam, volumeParam } from "@insien/protocol";
import type { FastifyRequest } from "fastify";
import type { z } from "zod";
import { type Door, principalOf, sandboxIdOf } from "./door.ts";

/** The parameters of a route about one volume of a sandbox. */
export const ofVolume = (params: typeof sandboxIdParam) => params.extend(volumeParam.shape);

export interface MeantPath {
  /** In the sandbox. */
  path: string;
  /** The directory that must not be left; absent where all of the sandbox may be reached. */
  root?: string;
  /** A path in the sandbox as who asked knows it: in the volume, from its root. */
  shown(path: string): string;
}

/** What a request's path means: on a route about a volume of the sandbox, it is in that one. */
export async function pathMeant(
  door: Door,
  request: FastifyRequest,
  path: string,
): Promise<MeantPath> {
  const params = request.params as Partial<z.infer<ReturnType<typeof ofVolume>>>;
  if (params.volume === undefined) return { path, shown: (same) => same };
  const id = sandboxIdOf(params.id ?? "");
  const { mounts } = door.application;
  const found = await mounts.pathIn(principalOf(request), id, params.volume, path);
  const { root } = found;
  const shown = (full: string) =>
    full === root ? "/" : full.startsWith(`${root}/`) ? full.slice(root.length) : full;
  return { path: found.path, root, shown };
}
