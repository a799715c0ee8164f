/** A port of the sandbox, as it is asked for when the sandbox is created or later. */
import {
  matching,
  boolean,
  integer,
  modelOf,
  object,
  oneOf,
  optional,
  ruled,
  withDefault,
} from "../wire/shape.ts";

export interface PortConfig {
  /** Where the program in the sandbox listens, 1 to 65535. */
  internal: number;
  /** A port of the host that leads there. */
  external?: number | undefined;
  /** "http" by default. */
  protocol?: "http" | "tcp" | undefined;
  /** `<subdomain>.<domain>` leads there, besides `<port>-<id>.<domain>`. */
  subdomain?: string | undefined;
  /** Open to everyone who has the address; otherwise a key or a signed link is needed. */
  public?: boolean | undefined;
}

export const portNumber = integer(1, 65_535);

export const portConfig = ruled(
  object<PortConfig>({
    internal: portNumber,
    external: optional(portNumber),
    protocol: withDefault(oneOf("http", "tcp"), "http"),
    subdomain: optional(
      matching(
        /^(?!\d+-)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/,
        "a DNS label: lower-case letters, digits and inner hyphens, not a number and a hyphen first",
      ),
    ),
    public: optional(boolean),
  }),
  ({ protocol, subdomain, external, public: isPublic }) => {
    if (protocol !== "tcp") return undefined;
    if (subdomain !== undefined) {
      return ["subdomain", 'is for protocol "http": a raw TCP connection carries no host name'];
    }
    return external === undefined || isPublic === true
      ? undefined
      : ["public", "must be true for an external tcp port: raw bytes show neither key nor link"];
  },
);

/** Checks a port and fills in its defaults. Throws `invalid_request`, naming the field. */
export const parsePortConfig = (value: unknown): PortConfig => modelOf(portConfig, value);
