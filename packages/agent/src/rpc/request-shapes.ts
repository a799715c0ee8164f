/**
 * The protocol's request schemas as JSON Schema. The kit's bundler runs this module and puts its
 * value in its place, so that no sandbox carries zod.
 */
import { agentFileQuery, rpcRequests, type RpcType } from "@insien/protocol";
import { z } from "zod";
import type { Shape } from "./shape.ts";

const shapeOf = (schema: z.ZodType): Shape => z.toJSONSchema(schema, { io: "input" }) as Shape;

export const REQUEST_SHAPES = Object.fromEntries(
  Object.entries(rpcRequests).map(([type, schema]) => [type, shapeOf(schema)]),
) as Record<RpcType, Shape>;

/** The query of `/files`. */
export const FILE_QUERY_SHAPE: Shape = shapeOf(agentFileQuery);
