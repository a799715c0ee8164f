/**
 * Signing in with an OpenID Connect provider: authorization code with PKCE, state and nonce. What must
 * be remembered between leaving and coming back is in a ticket that the browser carries and cannot
 * read.
 */
import { InsienError, LIMITS } from "@insien/protocol";
import { EncryptJWT, jwtDecrypt } from "jose";
import * as client from "openid-client";
import type { Logger } from "pino";
import type { Identity } from "../db/index.ts";
import { derivedKey } from "./session-tokens.ts";

export interface ProviderSettings {
  issuer: string;
  clientId: string;
  /** Absent: a public client, which PKCE alone protects. */
  clientSecret: string | undefined;
  /** What people know it by. */
  name: string;
  /** Whose addresses may sign in; absent: all that the provider vouches for. */
  emailDomains: readonly string[] | undefined;
}

/** Whom the provider vouches for. */
export interface Proven {
  identity: Identity;
  email: string | undefined;
  emailVerified: boolean;
  name: string | undefined;
}

interface Ticket {
  verifier: string;
  state: string;
  nonce: string;
  redirectUri: string;
  returnTo: string;
}

const SCOPE = "openid email profile";

export class OidcSignIn {
  readonly settings: ProviderSettings;
  readonly #ticketKey: Uint8Array;
  readonly #log: Logger;
  #discovery: Promise<client.Configuration> | undefined;

  constructor(settings: ProviderSettings, options: { jwtSecret: string; log: Logger }) {
    this.settings = settings;
    this.#ticketKey = derivedKey(options.jwtSecret, "tickets to the provider");
    this.#log = options.log;
  }

  /** Where to send the browser, and the ticket to send with it. */
  async start(target: {
    redirectUri: string;
    returnTo: string;
  }): Promise<{ url: string; ticket: string }> {
    const configuration = await this.#configuration();
    const ticket: Ticket = {
      ...target,
      verifier: client.randomPKCECodeVerifier(),
      state: client.randomState(),
      nonce: client.randomNonce(),
    };
    const url = client.buildAuthorizationUrl(configuration, {
      redirect_uri: ticket.redirectUri,
      scope: SCOPE,
      code_challenge: await client.calculatePKCECodeChallenge(ticket.verifier),
      code_challenge_method: "S256",
      state: ticket.state,
      nonce: ticket.nonce,
    });
    return { url: url.href, ticket: await this.#seal(ticket) };
  }

  /** Throws `sign_in_failed` for what the provider did not send in answer to this ticket. */
  async finish(answer: {
    search: string;
    ticket: string | undefined;
  }): Promise<{ proven: Proven; returnTo: string }> {
    const ticket = await this.#open(answer.ticket);
    const configuration = await this.#configuration();
    try {
      const tokens = await client.authorizationCodeGrant(
        configuration,
        new URL(answer.search, ticket.redirectUri),
        {
          pkceCodeVerifier: ticket.verifier,
          expectedState: ticket.state,
          expectedNonce: ticket.nonce,
          idTokenExpected: true,
        },
      );
      const proven = await this.#proven(configuration, tokens);
      return { proven, returnTo: ticket.returnTo };
    } catch (error) {
      throw this.#explained(error);
    }
  }

  async #proven(
    configuration: client.Configuration,
    tokens: Awaited<ReturnType<typeof client.authorizationCodeGrant>>,
  ): Promise<Proven> {
    const claims = tokens.claims();
    if (claims === undefined) throw new Error("the provider sent no ID token");
    const { iss: issuer, sub: subject } = claims;
    const isMissing = claims["email"] === undefined;
    const hasMore = configuration.serverMetadata().userinfo_endpoint !== undefined;
    const more =
      isMissing && hasMore
        ? await client.fetchUserInfo(configuration, tokens.access_token, subject)
        : claims;
    const { email, name } = more;
    return {
      identity: { issuer, subject },
      email: typeof email === "string" ? email : undefined,
      emailVerified: more["email_verified"] === true,
      name: typeof name === "string" ? name : undefined,
    };
  }

  /** What the provider says of itself, asked once; again after it did not answer. */
  #configuration(): Promise<client.Configuration> {
    this.#discovery ??= this.#discover().catch((error: unknown) => {
      this.#discovery = undefined;
      this.#log.warn({ err: error }, "the provider that people sign in with did not answer");
      throw unavailable(this.settings.name, error);
    });
    return this.#discovery;
  }

  #discover(): Promise<client.Configuration> {
    const { issuer, clientId, clientSecret } = this.settings;
    const server = new URL(issuer);
    const authentication = clientSecret === undefined ? client.None() : undefined;
    return client.discovery(server, clientId, clientSecret, authentication, {
      timeout: LIMITS.oidcProviderMs.value / 1000,
      // Plain http is accepted of this host alone, which the configuration's schema sees to.
      execute: server.protocol === "http:" ? [client.allowInsecureRequests] : [],
    });
  }

  #seal(ticket: Ticket): Promise<string> {
    const seconds = Math.floor(Date.now() / 1000) + LIMITS.oidcSignInSeconds.value;
    return new EncryptJWT({ ...ticket })
      .setProtectedHeader({ alg: "dir", enc: "A256GCM" })
      .setExpirationTime(seconds)
      .encrypt(this.#ticketKey);
  }

  async #open(sealed: string | undefined): Promise<Ticket> {
    try {
      const { payload } = await jwtDecrypt<Ticket>(sealed ?? "", this.#ticketKey);
      return payload;
    } catch (error) {
      const message = "This sign-in was begun too long ago, or in another browser: begin it again";
      throw new InsienError("sign_in_failed", message, { cause: error });
    }
  }

  #explained(error: unknown): InsienError {
    const { name } = this.settings;
    if (error instanceof client.AuthorizationResponseError) {
      const message = `${name} did not sign you in: ${error.error.slice(0, 100)}`;
      return new InsienError("sign_in_failed", message, { cause: error });
    }
    this.#log.warn({ err: error }, "a sign-in with the provider failed");
    if (error instanceof TypeError) return unavailable(name, error);
    const message = `What ${name} answered does not belong to this sign-in: begin it again`;
    return new InsienError("sign_in_failed", message, { cause: error });
  }
}

const unavailable = (name: string, cause: unknown): InsienError =>
  new InsienError("provider_unavailable", `${name} does not answer`, { cause });
