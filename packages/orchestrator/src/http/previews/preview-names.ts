import { isIP } from "node:net";
import { PREVIEW_PATH, type SandboxId, asSandboxId } from "@insien/protocol";
import type { PortAddress } from "../../app/ports.ts";

export interface PreviewNamesOptions {
  /** Every name under it belongs to sandboxes. */
  domain: string;
  /** Where clients reach the server; its host stays the server's own, under the domain or not. */
  publicUrl: string | undefined;
  /** Where other nodes do; likewise. */
  nodeUrl: string | undefined;
}

const PORT_AND_ID = /^(\d{1,5})-([a-z0-9]{4,40})$/;
const LABEL = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const HOST = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(\d{1,5}))?$/i;

/** People type their passwords into what is found at such names. */
const TRUSTED_LABELS = "www api app admin login auth mail localhost insien".split(" ");

/** Which host names lead to ports of sandboxes, and how those are written. */
export class PreviewNames {
  readonly domain: string;
  readonly publicUrl: URL | undefined;
  readonly #own: ReadonlySet<string>;

  constructor(options: PreviewNamesOptions) {
    this.domain = options.domain;
    this.publicUrl = options.publicUrl === undefined ? undefined : new URL(options.publicUrl);
    const nodeUrl = options.nodeUrl === undefined ? undefined : new URL(options.nodeUrl);
    const own = [this.publicUrl?.hostname, nodeUrl?.hostname].filter((each) => each !== undefined);
    this.#own = new Set([options.domain, ...own]);
  }

  /** The first labels of the server's own names, and others that would be taken for its own. */
  get reservedSubdomains(): ReadonlySet<string> {
    const own = [...this.#own].map((name) => this.#labelOf(name));
    return new Set([...own.filter((label) => label !== undefined), ...TRUSTED_LABELS]);
  }

  /** Whether a host belongs to sandboxes, so that nothing else of this server may answer there. */
  isPreview(host: string | undefined): boolean {
    const name = hostnameOf(host);
    return name !== undefined && !this.#own.has(name) && this.#labelOf(name) !== undefined;
  }

  /** `undefined` for a name that cannot lead anywhere. */
  addressOf(host: string | undefined): PortAddress | undefined {
    const label = this.#labelOf(hostnameOf(host) ?? "");
    if (label === undefined || !LABEL.test(label)) return undefined;
    const [, port, id] = PORT_AND_ID.exec(label) ?? [];
    return port === undefined ? { subdomain: label } : portAddress(id ?? "", port);
  }

  /**
   * Whether a page that came to this host may be one of ours: a page of a stranger's name that was
   * made to lead to this server has that name in `Host`.
   */
  isKnown(host: string | undefined): boolean {
    const name = hostnameOf(host);
    if (name === undefined) return false;
    const isAddress = isIP(name.replace(/^\[|\]$/g, "")) !== 0;
    return isAddress || name === "localhost" || this.#own.has(name) || this.isPreview(host);
  }

  /** `8080-<id>.<domain>`, or with the subdomain. */
  hostOf(port: { internal: number; subdomain: string | undefined }, sandboxId: string): string {
    return `${port.subdomain ?? `${port.internal}-${sandboxId}`}.${this.domain}`;
  }

  #labelOf(name: string): string | undefined {
    const end = `.${this.domain}`;
    return name.endsWith(end) && name.length > end.length ? name.slice(0, -end.length) : undefined;
  }
}

/** Lower case, without a port and the root's dot; `undefined` for what is no host. */
export function hostnameOf(host: string | undefined): string | undefined {
  const name = HOST.exec(host ?? "")?.[1];
  return name?.toLowerCase().replace(/\.$/, "");
}

export function portAddress(
  id: string,
  portText: string,
): { sandboxId: SandboxId; port: number } | undefined {
  const sandboxId = asSandboxId(id);
  const port = Number(portText);
  if (sandboxId === undefined || String(port) !== portText) return undefined;
  return port >= 1 && port <= 65_535 ? { sandboxId, port } : undefined;
}

const PREVIEW_URL = new RegExp(`^${PREVIEW_PATH}/([^/?]*)/([^/?]*)(.*)$`, "s");

/** The path form taken apart. `rest` is what the program gets; empty where the slash is missing. */
export function parsePreviewPath(
  url: string,
): { prefix: string; id: string; port: string; rest: string } | undefined {
  const [, id, port, rest] = PREVIEW_URL.exec(url) ?? [];
  if (id === undefined || port === undefined || rest === undefined) return undefined;
  return { prefix: `${PREVIEW_PATH}/${id}/${port}`, id, port, rest };
}
