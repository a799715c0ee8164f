import { LIMITS } from "@insien/protocol";

/** The bounds of LIMITS that the doors enforce, as plain numbers, so that tests can narrow them. */
const DOOR_LIMIT_NAMES = [
  "requestsPerMinute",
  "failedSignInsPerMinute",
  "programTokensPerMinute",
  "signInsPerMinute",
  "signInsPerAccountPerMinute",
  "rateBuckets",
  "requestBodyBytes",
  "requestHeaderBytes",
  "requestHeadersMs",
  "requestBodyMs",
  "transferIdleMs",
  "keepAliveMs",
  "httpConnections",
  "handshakeMs",
  "portAnswerMs",
  "closeMs",
] as const;

export type DoorLimits = Record<(typeof DOOR_LIMIT_NAMES)[number], number>;

export function doorLimits(overrides: Partial<DoorLimits> = {}): DoorLimits {
  const defaults = DOOR_LIMIT_NAMES.map((name) => [name, LIMITS[name].value] as const);
  return { ...(Object.fromEntries(defaults) as DoorLimits), ...overrides };
}
