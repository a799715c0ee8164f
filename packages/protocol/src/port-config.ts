/** Ports of a sandbox, and how they are reached from outside. */
import { z } from "zod";
import { LIMITS } from "./limits.ts";

export const portNumber = z.int().min(1).max(65_535);

export const portConfig = z
  .strictObject({
    /** Where the program in the sandbox listens. */
    internal: portNumber,
    /** A port of the host that leads there. */
    external: portNumber.optional(),
    protocol: z.enum(["http", "tcp"]).optional(),
    /** `<subdomain>.<domain>` leads there, besides `<port>-<id>.<domain>`. */
    subdomain: z
      .string()
      .regex(
        /^(?!\d+-)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/,
        "must be a DNS label: lower-case letters, digits and inner hyphens, not a number and a hyphen first",
      )
      .optional(),
    /** Open to everyone who has the address; otherwise a key or a signed link is needed. */
    public: z.boolean().optional(),
  })
  .refine((port) => port.protocol !== "tcp" || port.subdomain === undefined, {
    path: ["subdomain"],
    error: "is for protocol http: a raw TCP connection carries no host name",
  })
  .refine(
    ({ protocol, external, public: isPublic }) =>
      protocol !== "tcp" || external === undefined || isPublic === true,
    {
      path: ["public"],
      error: "must be true for an external tcp port: raw bytes can show neither key nor link",
    },
  );
export type PortConfig = z.infer<typeof portConfig>;

/** The value of `ports` when a sandbox is created. */
export const portConfigs = z
  .array(portConfig)
  .max(LIMITS.portsPerSandbox.value)
  .refine(
    (ports) => new Set(ports.map(({ internal }) => internal)).size === ports.length,
    "names an internal port twice",
  );

export const portView = z.object({
  internal: z.number(),
  external: z.number().optional(),
  protocol: z.enum(["http", "tcp"]),
  subdomain: z.string().optional(),
  public: z.boolean(),
  /** `http://8080-<id>.<domain>`, or with the subdomain; absent for tcp. */
  url: z.string().optional(),
  /** The form that needs no DNS; absent for tcp. */
  path_url: z.string().optional(),
  /** `host:port` of the external port. */
  external_address: z.string().optional(),
  /** Why the external port does not lead here at this moment, although the sandbox runs. */
  external_error: z.string().optional(),
});
export type PortView = z.infer<typeof portView>;
export const portList = z.object({ items: z.array(portView) });

export const changePortBody = z.strictObject({ public: z.boolean() });

export const portLinkBody = z.strictObject({
  expires_in_seconds: z.int().min(1).max(LIMITS.portLinkSecondsMax.value).optional(),
});
/** Addresses that open the port for whoever has them, until they expire. */
export const portLink = z.object({ url: z.string(), path_url: z.string(), expires_at: z.string() });
export type PortLink = z.infer<typeof portLink>;

/** Query parameter of a signed link; for browsers a cookie, or under a path the path itself, takes its place. */
export const PORT_TOKEN_PARAMETER = "insien_token";
export const PORT_TOKEN_COOKIE = "insien_port";
/** The header for programs that hold a link's token. */
export const PORT_TOKEN_HEADER = "x-insien-token";
/** `/preview/<sandbox id>/<port>/...` is the path form. */
export const PREVIEW_PATH = "/preview";
