import type { PortConfig, SandboxId } from "@insien/protocol";
import type { AgentConnector } from "../line/agent-connector.ts";
import type { CallOptions } from "./application.ts";
import type { Principal } from "./principal.ts";

/** A port that was asked for. */
export interface Port {
  internal: number;
  external: number | undefined;
  protocol: "http" | "tcp";
  subdomain: string | undefined;
  public: boolean;
  /** Why the external port does not lead here at this moment, although the sandbox runs. */
  externalError: string | undefined;
}

/** A port as an address names it. */
export type PortAddress = { sandboxId: SandboxId; port: number } | { subdomain: string };

/** Who comes to a port, by what was shown. */
export interface Visitor {
  /** Tokens of links, of whatever quality. */
  tokens: readonly string[];
  /** Asked only when nothing else lets the visitor in; `undefined` for one who shows no key. */
  principal(): Promise<Principal | undefined>;
}

export interface AdmittedPort {
  sandboxId: SandboxId;
  port: number;
  ownerId: string;
  /** `unverified`: a link that only the node that holds the sandbox may be able to check. */
  by: "public" | "link" | "owner" | "unverified";
  /** The link that let the visitor in. */
  link: { token: string; expiresAt: Date } | undefined;
}

/** All but `admit` and `connect` throw `sandbox_not_found` for what is another owner's. */
export interface Ports {
  list(principal: Principal, id: SandboxId): Promise<Port[]>;
  /** Throws `conflict` that names the subdomain or the external port that is taken. */
  add(principal: Principal, id: SandboxId, config: PortConfig): Promise<Port>;
  change(
    principal: Principal,
    id: SandboxId,
    internal: number,
    change: { public: boolean },
  ): Promise<Port>;
  /** `false` when it was not there. */
  remove(principal: Principal, id: SandboxId, internal: number): Promise<boolean>;
  /** Any port may have a link, asked for before or not. */
  link(
    principal: Principal,
    id: SandboxId,
    internal: number,
    options: { expiresInSeconds?: number },
  ): Promise<{ port: Port; token: string; expiresAt: Date }>;
  /** `undefined` for whoever may not come in, be it that there is nothing to come to. */
  admit(address: PortAddress, visitor: Visitor): Promise<AdmittedPort | undefined>;
  /** A way to the machine, as `Sandboxes.connect`; for those who were admitted. */
  connect(admitted: AdmittedPort, options?: CallOptions): Promise<AgentConnector>;
}
