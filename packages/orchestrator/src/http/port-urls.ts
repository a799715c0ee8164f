import { PORT_TOKEN_PARAMETER, PREVIEW_PATH, type PortLink, type PortView } from "@insien/protocol";
import type { Port } from "../app/ports.ts";
import { hostnameFrom, type Reached } from "./agent-urls.ts";
import type { PreviewNames } from "./previews/preview-names.ts";

/** The addresses of ports, as the sender of a request can reach them. */
export class PortUrls {
  readonly #names: PreviewNames;
  readonly #listeningPort: () => number;

  constructor(names: PreviewNames, listeningPort: () => number) {
    this.#names = names;
    this.#listeningPort = listeningPort;
  }

  view(reached: Reached, sandboxId: string, port: Port): PortView {
    const { internal, protocol, subdomain, public: isPublic, external, externalError } = port;
    const addresses =
      protocol === "tcp" ? {} : this.#addresses(reached, sandboxId, { internal, subdomain });
    return {
      internal,
      protocol,
      public: isPublic,
      ...addresses,
      ...(external === undefined ? {} : { external }),
      ...(external === undefined ? {} : { external_address: `${this.#host(reached)}:${external}` }),
      ...(externalError === undefined ? {} : { external_error: externalError }),
      ...(subdomain === undefined ? {} : { subdomain }),
    };
  }

  link(
    reached: Reached,
    sandboxId: string,
    { port, token, expiresAt }: { port: Port; token: string; expiresAt: Date },
  ): PortLink {
    const { url, path_url: pathUrl } = this.#addresses(reached, sandboxId, port);
    const query = `?${PORT_TOKEN_PARAMETER}=${token}`;
    return {
      url: `${url}/${query}`,
      path_url: `${pathUrl}${query}`,
      expires_at: expiresAt.toISOString(),
    };
  }

  #addresses(
    reached: Reached,
    sandboxId: string,
    port: { internal: number; subdomain: string | undefined },
  ): { url: string; path_url: string } {
    const { publicUrl } = this.#names;
    const { protocol, port: publicPort } = publicUrl ?? {
      protocol: "http:",
      port: String(this.#listeningPort()),
    };
    const end = publicPort === "" ? "" : `:${publicPort}`;
    const base = `${protocol}//${this.#host(reached)}${end}`;
    return {
      url: `${protocol}//${this.#names.hostOf(port, sandboxId)}${end}`,
      path_url: `${base}${PREVIEW_PATH}/${sandboxId}/${port.internal}/`,
    };
  }

  #host(reached: Reached): string {
    return this.#names.publicUrl?.hostname ?? hostnameFrom(reached);
  }
}
