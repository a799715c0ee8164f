/** Ports of a sandbox that are reached from outside, as the server keeps them. */
import { CLIENT_LIMITS as LIMITS } from "@insien/protocol/client-limits";
import type { RequestOptions } from "../configuration.ts";
import { portConfig, portNumber, type PortConfig } from "../models/port-config.ts";
import { sandboxPath } from "../sandbox-api.ts";
import type { Session } from "../session.ts";
import {
  boolean,
  date,
  integer,
  list,
  number,
  object,
  oneOf,
  optional,
  requestOf,
  text,
  type ValueOf,
} from "../wire/shape.ts";

const publishedPort = object({
  internal: number(),
  external: optional(number()),
  protocol: oneOf("http", "tcp"),
  subdomain: optional(text),
  public: boolean,
  /** `http://8080-<id>.<domain>`, or with the subdomain; absent for tcp. */
  url: optional(text),
  /** The form that needs no DNS; absent for tcp. */
  pathUrl: optional(text),
  /** `host:port` of the external port. */
  externalAddress: optional(text),
  /** Why the external port does not lead here at this moment, although the sandbox runs. */
  externalError: optional(text),
});
export type PublishedPort = ValueOf<typeof publishedPort>;

const portLink = object({
  url: text,
  /** The form that needs no DNS. */
  pathUrl: text,
  expiresAt: date,
});
/** Addresses that open the port for whoever has them, until they expire. */
export type PortLink = ValueOf<typeof portLink>;

export interface LinkOptions extends RequestOptions {
  expiresInSeconds?: number | undefined;
}

const portPage = object({ items: list(publishedPort) });
const changeRequest = object({ public: boolean });
const linkRequest = object<Pick<LinkOptions, "expiresInSeconds">>({
  expiresInSeconds: optional(integer(1, LIMITS.portLinkSecondsMax.value)),
});
const named = object({ port: portNumber });

const portPath = (id: string, port: number, rest = ""): string => {
  requestOf(named, { port });
  return sandboxPath(id, `/ports/${port}${rest}`);
};

export const publishedPorts = async (
  { api, id }: Session,
  options: RequestOptions,
): Promise<PublishedPort[]> =>
  (await api.json("GET", sandboxPath(id, "/ports"), { ...options, answer: portPage })).items;

export async function publishPort(
  { api, id }: Session,
  port: PortConfig,
  options: RequestOptions,
): Promise<PublishedPort> {
  const json = requestOf(portConfig, port);
  return api.json("POST", sandboxPath(id, "/ports"), { ...options, json, answer: publishedPort });
}

export async function changePort(
  { api, id }: Session,
  port: number,
  change: { public: boolean },
  options: RequestOptions,
): Promise<PublishedPort> {
  const json = requestOf(changeRequest, change);
  return api.json("PATCH", portPath(id, port), { ...options, json, answer: publishedPort });
}

export async function linkPort(
  { api, id }: Session,
  port: number,
  { expiresInSeconds, ...options }: LinkOptions,
): Promise<PortLink> {
  const json = requestOf(linkRequest, { expiresInSeconds });
  return api.json("POST", portPath(id, port, "/link"), { ...options, json, answer: portLink });
}

/** `false` when it was not published. */
export const unpublishPort = (
  { api, id }: Session,
  port: number,
  options: RequestOptions,
): Promise<boolean> => api.remove(portPath(id, port), "port_not_found", options);
