/**
 * API keys: 256 random bits, of which only the SHA-256 is kept. Such a key needs no slow hash, since
 * it cannot be guessed from one.
 */
import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { API_KEY_PREFIX, InsienError, LIMITS, newId } from "@insien/protocol";
import type { Logger } from "pino";
import type { ApiKeyRecord, ApiKeyRows } from "../db/index.ts";
import type { ApiKey, Keys } from "./application.ts";
import type { Principal } from "./principal.ts";

const KEY_BYTES = 32;
const SHOWN_CHARACTERS = 11;
/** Each node's configuration has a key of its own, be it the same as the others' or not. */
const bootstrapId = (nodeId: string): string => `bootstrap${hashOf(nodeId).slice(0, 20)}`;
/** The owner of what is made with the bootstrap key. */
const BOOTSTRAP_OWNER = "admin";

interface Known {
  /** `undefined`: no such key, as of then. */
  principal: Principal | undefined;
  freshUntil: number;
}

export class ApiKeys implements Keys, AsyncDisposable {
  readonly #rows: ApiKeyRows;
  readonly #log: Logger;
  readonly #bootstrapId: string;
  /** By hash, the one looked up longest ago first. */
  readonly #known = new Map<string, Known>();
  readonly #uses = new Map<string, Date>();
  readonly #timer: NodeJS.Timeout;
  /** Grows with each change of a key, so that an answer from before it is not remembered. */
  #changes = 0;

  constructor(rows: ApiKeyRows, options: { nodeId: string; log: Logger }) {
    this.#rows = rows;
    this.#log = options.log;
    this.#bootstrapId = bootstrapId(options.nodeId);
    this.#timer = setInterval(() => void this.#writeUses(), LIMITS.keyUseWriteMs.value);
    this.#timer.unref();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#writeUses();
  }

  /**
   * Makes this key, and no earlier one, this node's bootstrap key: an administrator's, on every node
   * of the database. Those of the other nodes are left as they are.
   */
  async bootstrap(key: string): Promise<void> {
    await this.#rows.replace({
      id: this.#bootstrapId,
      name: "The key of the configuration",
      ownerId: BOOTSTRAP_OWNER,
      prefix: shownPart(key),
      hash: hashOf(key),
      admin: true,
      createdAt: new Date(),
    });
    this.#forget(undefined);
  }

  async authenticate(key: string): Promise<Principal | undefined> {
    const hash = hashOf(key);
    const known = this.#recall(hash) ?? (await this.#look(hash));
    if (known.principal !== undefined) this.#uses.set(known.principal.keyId, new Date());
    return known.principal;
  }

  async create(
    principal: Principal,
    body: { name: string; ownerId?: string; admin?: boolean },
  ): Promise<ApiKey & { key: string }> {
    const { ownerId, admin } = await this.#granted(principal, body);
    const key = `${API_KEY_PREFIX}${randomBytes(KEY_BYTES).toString("base64url")}`;
    const record = {
      id: newId(),
      name: body.name,
      ownerId,
      prefix: shownPart(key),
      admin,
      createdAt: new Date(),
    };
    await this.#rows.insert({ ...record, hash: hashOf(key) });
    return { ...record, lastUsedAt: undefined, key };
  }

  async list(principal: Principal): Promise<ApiKey[]> {
    const records = await this.#rows.list(principal.admin ? undefined : principal.ownerId);
    return records.map((record) => this.#view(record));
  }

  async revoke(principal: Principal, id: string): Promise<boolean> {
    const record = await this.#rows.get(id);
    // To a stranger, another owner's key does not exist.
    if (record === undefined || !(principal.admin || record.ownerId === principal.ownerId))
      return false;
    if (id === this.#bootstrapId) {
      throw new InsienError(
        "forbidden",
        "The key of the configuration is changed there: set another API_KEY",
      );
    }
    const revoked = await this.#rows.revoke(id, new Date());
    this.#forget(record.hash);
    this.#uses.delete(id);
    return revoked;
  }

  /** Something was changed that decides whether keys hold: all are looked up anew. */
  forgetAll(): void {
    this.#forget(undefined);
  }

  /** Whose key the caller may make, and with which rights. */
  async #granted(
    principal: Principal,
    { ownerId, admin = false }: { ownerId?: string; admin?: boolean },
  ): Promise<{ ownerId: string; admin: boolean }> {
    if (principal.sessionId === undefined) {
      requireAdmin(principal, "make keys");
      return { ownerId: ownerId ?? newId(), admin };
    }
    const own = principal.ownerId;
    if (!principal.admin && (admin || (ownerId ?? own) !== own)) {
      throw new InsienError("forbidden", "Only an administrator may make keys for others");
    }
    const most = LIMITS.keysPerPerson.value;
    if (!principal.admin && (await this.#rows.list(own)).length >= most) {
      throw new InsienError("conflict", `You have ${most} keys, the most there may be: revoke one`);
    }
    return { ownerId: ownerId ?? own, admin };
  }

  #recall(hash: string): Known | undefined {
    const known = this.#known.get(hash);
    return known !== undefined && known.freshUntil > performance.now() ? known : undefined;
  }

  async #look(hash: string): Promise<Known> {
    const changes = this.#changes;
    const record = await this.#rows.byHash(hash);
    const principal =
      record !== undefined && sameHash(record.hash, hash)
        ? { keyId: record.id, ownerId: record.ownerId, admin: record.admin }
        : undefined;
    const known = { principal, freshUntil: performance.now() + LIMITS.keyCacheMs.value };
    if (changes === this.#changes) this.#remember(hash, known);
    return known;
  }

  #remember(hash: string, known: Known): void {
    this.#known.delete(hash);
    this.#known.set(hash, known);
    const [oldest] = this.#known.keys();
    if (this.#known.size > LIMITS.keyCacheEntries.value && oldest !== undefined)
      this.#known.delete(oldest);
  }

  #forget(hash: string | undefined): void {
    this.#changes += 1;
    if (hash === undefined) this.#known.clear();
    else this.#known.delete(hash);
  }

  #view({ id, name, ownerId, prefix, admin, createdAt, lastUsedAt }: ApiKeyRecord): ApiKey {
    return {
      id,
      name,
      ownerId,
      prefix,
      admin,
      createdAt,
      lastUsedAt: this.#uses.get(id) ?? lastUsedAt,
    };
  }

  async #writeUses(): Promise<void> {
    const uses = new Map(this.#uses);
    this.#uses.clear();
    try {
      await this.#rows.touch(uses);
    } catch (error) {
      for (const [id, at] of uses) if (!this.#uses.has(id)) this.#uses.set(id, at);
      this.#log.warn({ err: error }, "the keys' last use could not be written; it is tried again");
    }
  }
}

const hashOf = (key: string): string => createHash("sha256").update(key).digest("hex");
const sameHash = (one: string, other: string): boolean =>
  timingSafeEqual(Buffer.from(one), Buffer.from(other));
/** Enough to tell keys apart, and of a short key given by hand no more than a third. */
const shownPart = (key: string): string =>
  key.slice(0, Math.min(SHOWN_CHARACTERS, Math.floor(key.length / 3)));

function requireAdmin(principal: Principal, what: string): void {
  if (!principal.admin)
    throw new InsienError("forbidden", `Only an administrator's key may ${what}`);
}
