/**
 * The two tokens of a person's session. The access token is signed and short-lived; the refresh
 * token is random, of use once, and kept as a hash only.
 */
import { createHash, createHmac, hkdfSync, randomBytes } from "node:crypto";
import { LIMITS } from "@insien/protocol";
import { decodeJwt, errors, jwtVerify, SignJWT } from "jose";

const AUDIENCE = "person";
const KEY_BYTES = 32;
const REFRESH_FORM = /^([a-z0-9]{4,40})\.[\w-]{43}$/;

export type AccessClaims = { userId: string; sessionId: string };

/** A key for one purpose, so that no signature made for one is taken for another. */
export const derivedKey = (secret: string, purpose: string): Uint8Array =>
  new Uint8Array(hkdfSync("sha256", secret, "", `insien ${purpose}`, KEY_BYTES));

export class SessionTokens {
  readonly #accessKey: Uint8Array;
  readonly #refreshKey: Uint8Array;

  constructor(jwtSecret: string) {
    this.#accessKey = derivedKey(jwtSecret, "access tokens of people");
    this.#refreshKey = derivedKey(jwtSecret, "refresh tokens of people");
  }

  access({ userId, sessionId }: AccessClaims): Promise<string> {
    const nowSeconds = Math.floor(Date.now() / 1000);
    return new SignJWT({ sid: sessionId })
      .setProtectedHeader({ alg: "HS256", typ: "JWT" })
      .setSubject(userId)
      .setAudience(AUDIENCE)
      .setIssuedAt(nowSeconds)
      .setExpirationTime(nowSeconds + LIMITS.accessTokenSeconds.value)
      .sign(this.#accessKey);
  }

  /** `undefined` for what was not signed here for this; `"expired"` for what was, too long ago. */
  async read(token: string): Promise<AccessClaims | "expired" | undefined> {
    try {
      const { payload } = await jwtVerify(token, this.#accessKey, {
        algorithms: ["HS256"],
        audience: AUDIENCE,
        requiredClaims: ["exp", "sub", "sid"],
      });
      const { sub, sid } = payload;
      if (typeof sub !== "string" || typeof sid !== "string") return undefined;
      return { userId: sub, sessionId: sid };
    } catch (error) {
      return error instanceof errors.JWTExpired ? "expired" : undefined;
    }
  }

  firstRefresh(sessionId: string): string {
    return `${sessionId}.${randomBytes(KEY_BYTES).toString("base64url")}`;
  }

  /**
   * The token that takes this one's place. It follows from it and a key that nobody else has, so that
   * two who ask at once with the same are given the same.
   */
  nextRefresh(sessionId: string, token: string): string {
    return `${sessionId}.${createHmac("sha256", this.#refreshKey).update(token).digest("base64url")}`;
  }
}

/** Whether a text is an access token of people's as they are made here; whether it holds is not looked at. */
export function looksLikeAccess(text: string): boolean {
  try {
    const { aud, sid } = decodeJwt(text);
    return aud === AUDIENCE && typeof sid === "string";
  } catch {
    return false;
  }
}

/** The session that a refresh token is of; `undefined` for what is none. */
export const sessionOfRefresh = (token: string): string | undefined =>
  REFRESH_FORM.exec(token)?.[1];
export const refreshHashOf = (token: string): string =>
  createHash("sha256").update(token).digest("hex");
