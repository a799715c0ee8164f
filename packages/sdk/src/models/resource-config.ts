/** What a sandbox may use. */
import { CLIENT_LIMITS as LIMITS } from "@insien/protocol/client-limits";
import {
  integer,
  matching,
  modelOf,
  number,
  object,
  optional,
  size,
  withDefault,
} from "../wire/shape.ts";

export interface ResourceConfig {
  /** Cores, 0.1 to 8; 1 by default. */
  cpu?: number | undefined;
  /** Such as "512m" (the default) or "2g". */
  memory?: string | undefined;
  /** Processes and threads together. */
  pids?: number | undefined;
  /** "all", a number of them, or ids with commas between. */
  gpu?: string | undefined;
  /** Seconds that the sandbox lives. */
  timeout?: number | undefined;
  /** How often the main command is started again when it fails. */
  maxRetries?: number | undefined;
}

export const resourceConfig = object<ResourceConfig>({
  cpu: withDefault(number(0.1, 8), 1),
  memory: withDefault(size("32m", "64g"), "512m"),
  pids: optional(integer(8, 32_768)),
  gpu: optional(
    matching(/^(?:all|\d{1,2}|[A-Za-z0-9:.-]+(?:,[A-Za-z0-9:.-]+)*)$/, '"all", a number or ids'),
  ),
  timeout: optional(integer(0, LIMITS.ttlSecondsMax.value)),
  maxRetries: optional(integer(0, LIMITS.mainRetriesMax.value)),
});

/** Checks limits and fills in their defaults. Throws `invalid_request`, naming the field. */
export const parseResourceConfig = (value: unknown): ResourceConfig =>
  modelOf(resourceConfig, value);
