import { InsienError, LIMITS, type PortConfig, type SandboxId } from "@insien/protocol";
import type { Logger } from "pino";
import type { SandboxPortRecord, SandboxPortRows, SandboxRecord } from "../db/index.ts";
import type { AgentConnector } from "../line/agent-connector.ts";
import type { CallOptions, Sandboxes } from "./application.ts";
import type { Belongings } from "./belongings.ts";
import type { CreateRequest } from "./create-request.ts";
import { KeyedMutex } from "./keyed-mutex.ts";
import type { PortDirectory } from "./port-directory.ts";
import type { PortLinks } from "./port-links.ts";
import type { AdmittedPort, Port, PortAddress, Ports, Visitor } from "./ports.ts";
import type { Principal } from "./principal.ts";

/** Listens on ports of the host, and leads whoever comes to the sandbox's. */
export interface ExternalDoor {
  /** Throws what the system says of a port that cannot be listened on. Twice is as once. */
  open(port: ExternalPort): Promise<void>;
  /** Ends the connections there are, too. One that leads elsewhere by now stays. */
  close(port: ExternalPort): void;
  /** Ends what goes on with a port that was everybody's, wherever it came in. */
  turnPrivate(port: { sandboxId: SandboxId; port: number }): void;
}

export interface ExternalPort {
  external: number;
  internal: number;
  sandboxId: SandboxId;
  protocol: "http" | "tcp";
}

export interface PortRules {
  /** `undefined`: no external ports at all. */
  externalRange: { first: number; last: number } | undefined;
  /** Names under the domain that are the server's own. */
  reservedSubdomains: ReadonlySet<string>;
}

export interface SandboxPortsParts {
  rows: SandboxPortRows;
  directory: PortDirectory;
  links: PortLinks;
  rules: PortRules;
  nodeId: string;
  log: Logger;
}

const DEFAULT_LINK_SECONDS = 24 * 3600;

/**
 * The ports that sandboxes have been given: their rows, the external ports of the host, and who may
 * come in. Changed on the node that holds the sandbox only, so that this one knows all there is.
 */
export class SandboxPorts implements Ports, Belongings {
  readonly #parts: SandboxPortsParts;
  readonly #errors = new Map<number, string>();
  /** External ports of sandboxes in reach, from before there was a door to open them. */
  readonly #waiting = new Map<number, ExternalPort>();
  /** What is learned last was read last, or a port that was closed would stay open to all. */
  readonly #learning = new KeyedMutex<SandboxId>();
  #sandboxes: Pick<Sandboxes, "get" | "connect"> | undefined;
  #door: ExternalDoor | undefined;

  constructor(parts: SandboxPortsParts) {
    this.#parts = parts;
  }

  /** The server is put together: from now on there is a way to the sandboxes. */
  use(sandboxes: Pick<Sandboxes, "get" | "connect">): void {
    this.#sandboxes = sandboxes;
  }

  /** Opens the external ports of the sandboxes that run already; later ones as they come. */
  async serve(door: ExternalDoor): Promise<void> {
    this.#door = door;
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const port of waiting) await this.#open(port).catch(() => undefined);
  }

  async check(request: CreateRequest): Promise<void> {
    for (const port of request.ports) this.#check(port);
    await Promise.resolve();
  }

  async prepare(row: SandboxRecord, request: CreateRequest): Promise<undefined> {
    if (request.ports.length === 0) return;
    const records = request.ports.map((port) => this.#record(row.id, port));
    await this.#parts.rows.insert(records);
    this.#parts.directory.learn(row.id, records);
    try {
      for (const port of records.flatMap(externalOf)) await this.#open(port);
    } catch (error) {
      await this.ended(row);
      throw error;
    }
  }

  async running(row: SandboxRecord, request?: CreateRequest): Promise<void> {
    const { rows, directory } = this.#parts;
    const isNew = request !== undefined && request.ports.length === 0;
    const ports = await this.#learning.run(row.id, async () => {
      const read = directory.known(row.id) ?? (isNew ? [] : await rows.ofSandbox(row.id));
      directory.learn(row.id, read);
      return read;
    });
    for (const port of ports.flatMap(externalOf)) {
      // Logged, and shown with the port: the sandbox runs without it.
      await this.#open(port).catch(() => undefined);
      if (directory.known(row.id) === undefined) this.#close(port);
    }
  }

  away(row: SandboxRecord): void {
    const { directory } = this.#parts;
    for (const port of (directory.known(row.id) ?? []).flatMap(externalOf)) this.#close(port);
    directory.forget(row.id);
  }

  async ended(row: SandboxRecord): Promise<void> {
    this.away(row);
    await this.#parts.rows.removeAll(row.id);
    this.#parts.directory.forget(row.id);
  }

  async list(principal: Principal, id: SandboxId): Promise<Port[]> {
    await this.#use().get(principal, id);
    return (await this.#parts.rows.ofSandbox(id)).map((port) => this.#shown(port));
  }

  async add(principal: Principal, id: SandboxId, config: PortConfig): Promise<Port> {
    const { rows } = this.#parts;
    const sandbox = await this.#use().get(principal, id);
    if (sandbox.state === "failed") {
      throw new InsienError("sandbox_failed", `Sandbox ${id} failed and can be given no port`);
    }
    this.#check(config);
    const existing = await rows.ofSandbox(id);
    if (existing.some(({ internal }) => internal === config.internal)) {
      const message = `Port ${config.internal} of sandbox ${id} is there already`;
      throw new InsienError("conflict", message);
    }
    if (existing.length >= LIMITS.portsPerSandbox.value) {
      const message = `Sandbox ${id} has ${existing.length} ports, which is as many as it may have`;
      throw new InsienError("conflict", message);
    }
    const record = this.#record(id, config);
    await rows.insert([record]);
    const [external] = externalOf(record);
    if (external !== undefined && isInReach(sandbox.state)) {
      try {
        await this.#open(external);
      } catch (error) {
        await rows.remove(id, config.internal);
        throw error;
      }
      // Taken back while it was opened: by then its number may be another sandbox's.
      if ((await rows.get(id, config.internal)) === undefined) {
        this.#close(external);
        throw portNotFound(id, config.internal);
      }
    }
    await this.#learn(id);
    return this.#shown(record);
  }

  async change(
    principal: Principal,
    id: SandboxId,
    internal: number,
    change: { public: boolean },
  ): Promise<Port> {
    const { rows } = this.#parts;
    const before = await this.#need(principal, id, internal);
    if (before.protocol === "tcp" && before.external !== undefined && !change.public) {
      throw new InsienError(
        "invalid_request",
        "public: must stay true for an external tcp port: raw bytes can show neither key nor link",
      );
    }
    const after = await rows.setPublic(id, internal, change.public);
    if (after === undefined) throw portNotFound(id, internal);
    await this.#learn(id);
    if (!after.public) this.#door?.turnPrivate({ sandboxId: id, port: internal });
    return this.#shown(after);
  }

  async remove(principal: Principal, id: SandboxId, internal: number): Promise<boolean> {
    const { rows } = this.#parts;
    await this.#use().get(principal, id);
    const before = await rows.get(id, internal);
    const isRemoved = await rows.remove(id, internal);
    const external = before === undefined ? [] : externalOf(before);
    if (isRemoved) for (const port of external) this.#close(port);
    await this.#learn(id);
    if (isRemoved) this.#door?.turnPrivate({ sandboxId: id, port: internal });
    return isRemoved;
  }

  async link(
    principal: Principal,
    id: SandboxId,
    internal: number,
    options: { expiresInSeconds?: number },
  ): Promise<{ port: Port; token: string; expiresAt: Date }> {
    const { links, rows } = this.#parts;
    const sandbox = await this.#use().get(principal, id);
    const seconds = options.expiresInSeconds ?? DEFAULT_LINK_SECONDS;
    // In whole seconds, as the token has it.
    const expiresAt = new Date((Math.floor(Date.now() / 1000) + seconds) * 1000);
    const record = (await rows.get(id, internal)) ?? this.#record(id, { internal });
    const token = links.sign(sandbox, internal, expiresAt);
    return { port: this.#shown(record), token, expiresAt };
  }

  async admit(address: PortAddress, visitor: Visitor): Promise<AdmittedPort | undefined> {
    const found = await this.#parts.directory.find(address);
    if (found === undefined || found.sandbox.state === "destroyed") return this.#nobody(visitor);
    const { sandbox, port, isPublic } = found;
    const { id: sandboxId, ownerId } = sandbox;
    const admitted = { sandboxId, port, ownerId, link: undefined };
    const isOver = sandbox.state === "failed" || sandbox.state === "destroying";
    for (const token of isOver ? [] : visitor.tokens) {
      const expiresAt = this.#parts.links.verify(token, sandbox, port);
      if (expiresAt !== undefined) return { ...admitted, by: "link", link: { token, expiresAt } };
    }
    if (isPublic && !isOver) return { ...admitted, by: "public" };
    if ((await visitor.principal())?.ownerId === ownerId) return { ...admitted, by: "owner" };
    const isElsewhere = sandbox.nodeId !== this.#parts.nodeId;
    return isElsewhere && visitor.tokens.length > 0 && !isOver
      ? { ...admitted, by: "unverified" }
      : undefined;
  }

  connect(admitted: AdmittedPort, options: CallOptions = {}): Promise<AgentConnector> {
    const owner = { keyId: "", ownerId: admitted.ownerId, admin: false };
    return this.#use().connect(owner, admitted.sandboxId, options);
  }

  /** A key is looked at even where there is nothing: a wrong one is counted, a right one waits as long. */
  async #nobody(visitor: Visitor): Promise<undefined> {
    await visitor.principal();
  }

  async #need(principal: Principal, id: SandboxId, internal: number): Promise<SandboxPortRecord> {
    await this.#use().get(principal, id);
    const record = await this.#parts.rows.get(id, internal);
    if (record === undefined) throw portNotFound(id, internal);
    return record;
  }

  #learn(id: SandboxId): Promise<void> {
    const { directory, rows } = this.#parts;
    return this.#learning.run(id, async () => {
      const ports = directory.known(id) === undefined ? [] : await rows.ofSandbox(id);
      const isHere = directory.known(id) !== undefined;
      directory.forget(id);
      if (isHere) directory.learn(id, ports);
    });
  }

  #use(): Pick<Sandboxes, "get" | "connect"> {
    if (this.#sandboxes === undefined) {
      throw new InsienError("agent_unreachable", "The server is starting");
    }
    return this.#sandboxes;
  }

  #record(sandboxId: SandboxId, config: PortConfig): SandboxPortRecord {
    return {
      sandboxId,
      internal: config.internal,
      external: config.external,
      protocol: config.protocol ?? "http",
      subdomain: config.subdomain,
      public: config.public ?? false,
      nodeId: this.#parts.nodeId,
      createdAt: new Date(),
    };
  }

  #shown(record: SandboxPortRecord): Port {
    const { internal, external, protocol, subdomain } = record;
    const externalError = external === undefined ? undefined : this.#errors.get(external);
    return { internal, external, protocol, subdomain, public: record.public, externalError };
  }

  #check({ external, subdomain }: PortConfig): void {
    const { externalRange, reservedSubdomains } = this.#parts.rules;
    if (subdomain !== undefined && reservedSubdomains.has(subdomain)) {
      throw new InsienError("conflict", `The subdomain ${subdomain} is the server's own`, {
        details: { subdomain },
      });
    }
    if (external === undefined) return;
    if (externalRange === undefined) {
      throw new InsienError("capability_missing", "This server gives no external ports");
    }
    const { first, last } = externalRange;
    if (external >= first && external <= last) return;
    const message = `external: must be from ${first} to ${last} on this server`;
    throw new InsienError("invalid_request", message, { details: { field: "external" } });
  }

  async #open(port: ExternalPort): Promise<void> {
    if (this.#door === undefined) {
      this.#waiting.set(port.external, port);
      return;
    }
    try {
      await this.#door.open(port);
      this.#errors.delete(port.external);
    } catch (thrown) {
      const error = cannotListen(port.external, thrown);
      this.#errors.set(port.external, error.message);
      const { external, sandboxId } = port;
      this.#parts.log.warn({ err: error, external, sandboxId }, "an external port is not open");
      throw error;
    }
  }

  #close(port: ExternalPort): void {
    const { external, sandboxId } = port;
    if (this.#waiting.get(external)?.sandboxId === sandboxId) this.#waiting.delete(external);
    this.#errors.delete(external);
    this.#door?.close(port);
  }
}

const isInReach = (state: SandboxRecord["state"]): boolean =>
  state === "running" || state === "creating";

const portNotFound = (id: SandboxId, internal: number): InsienError =>
  new InsienError("port_not_found", `Sandbox ${id} was given no port ${internal}`);

function externalOf(port: SandboxPortRecord): ExternalPort[] {
  const { external, internal, sandboxId, protocol } = port;
  return external === undefined ? [] : [{ external, internal, sandboxId, protocol }];
}

function cannotListen(external: number, cause: unknown): InsienError {
  if (cause instanceof InsienError) return cause;
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
  const why =
    code === "EADDRINUSE"
      ? `The external port ${external} of this host is taken`
      : `The server may not listen on port ${external} of this host (${code})`;
  return new InsienError("conflict", why, { details: { external }, cause });
}
