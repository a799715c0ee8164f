import { createHmac, hkdfSync, timingSafeEqual } from "node:crypto";
import type { SandboxId } from "@insien/protocol";

/** The sandbox that a link was made for; the instant tells it from a later one with the same id. */
export interface LinkedSandbox {
  id: SandboxId;
  createdAt: Date;
}

const KEY_BYTES = 32;
const TOKEN = /^p1\.([a-z0-9]{4,40})\.(\d{1,5})\.(\d{1,12})\.([A-Za-z0-9_-]{43})$/;
const LONGEST_TOKEN_CHARACTERS = 128;

/**
 * The tokens of signed links. A token says what it opens and until when, and a MAC under a key that
 * is derived from JWT_SECRET says that it is ours: nothing is stored, and every node that shares the
 * secret can tell.
 */
export class PortLinks {
  readonly #key: Buffer;

  constructor(jwtSecret: string) {
    this.#key = Buffer.from(hkdfSync("sha256", jwtSecret, "", "insien port links", KEY_BYTES));
  }

  sign(sandbox: LinkedSandbox, port: number, expiresAt: Date): string {
    const expirySeconds = Math.floor(expiresAt.getTime() / 1000);
    const mac = this.#mac(sandbox, port, expirySeconds).toString("base64url");
    return `p1.${sandbox.id}.${port}.${expirySeconds}.${mac}`;
  }

  /** When the token expires, if it opens this port of this sandbox now. */
  verify(token: string, sandbox: LinkedSandbox, port: number): Date | undefined {
    if (token.length > LONGEST_TOKEN_CHARACTERS) return undefined;
    const [, id, portText, expiryText, mac = ""] = TOKEN.exec(token) ?? [];
    if (id !== sandbox.id || portText !== String(port)) return undefined;
    const expected = this.#mac(sandbox, port, Number(expiryText));
    const given = Buffer.from(mac, "base64url");
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
    const expiresAt = new Date(Number(expiryText) * 1000);
    return expiresAt.getTime() > Date.now() ? expiresAt : undefined;
  }

  #mac(sandbox: LinkedSandbox, port: number, expirySeconds: number): Buffer {
    const said = `${sandbox.id}.${sandbox.createdAt.getTime()}.${port}.${expirySeconds}`;
    return createHmac("sha256", this.#key).update(said).digest();
  }
}
