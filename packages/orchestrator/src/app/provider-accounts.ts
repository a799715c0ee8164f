/** Accounts of people whom a provider vouches for. */
import { InsienError, newId } from "@insien/protocol";
import type { UserRecord, UserRows } from "../db/index.ts";
import { assertEnabled, normalEmail } from "./account-rules.ts";
import type { OidcSignIn, Proven } from "./oidc-sign-in.ts";
import type { Device, OpenSession, Provider } from "./people.ts";
import type { PersonSessions } from "./person-sessions.ts";

const NAME_CHARACTERS = 100;

export interface ProviderAccountsParts {
  rows: UserRows;
  sessions: PersonSessions;
  oidc: OidcSignIn;
  /** Throws `sign_up_closed` where nobody may make an account alone. */
  assertOpen: (now: { isFirst: boolean; toThisHost: boolean }) => void;
}

export class ProviderAccounts implements Provider {
  readonly #parts: ProviderAccountsParts;

  constructor(parts: ProviderAccountsParts) {
    this.#parts = parts;
  }

  get name(): string {
    return this.#parts.oidc.settings.name;
  }

  start(target: {
    redirectUri: string;
    returnTo: string;
  }): Promise<{ url: string; ticket: string }> {
    return this.#parts.oidc.start(target);
  }

  async finish(
    answer: { search: string; ticket: string | undefined },
    device: Device & { toThisHost: boolean },
  ): Promise<{ session: OpenSession; returnTo: string }> {
    const { proven, returnTo } = await this.#parts.oidc.finish(answer);
    const user = await this.#userOf(proven, device.toThisHost);
    assertEnabled(user);
    return { session: await this.#parts.sessions.open(user, device), returnTo };
  }

  async #userOf(proven: Proven, toThisHost: boolean): Promise<UserRecord> {
    const { rows } = this.#parts;
    const email = this.#emailOf(proven);
    const known = await rows.byIdentity(proven.identity);
    if (known !== undefined) return known;
    const sameEmail = await rows.byEmail(email);
    if (sameEmail === undefined) return this.#create(proven, email, toThisHost);
    // Who set a password may have signed up with an address that is another's.
    if (sameEmail.passwordHash !== undefined) throw taken(email);
    await rows.identify(sameEmail.id, proven.identity);
    return sameEmail;
  }

  async #create(proven: Proven, email: string, toThisHost: boolean): Promise<UserRecord> {
    const { rows, assertOpen, oidc } = this.#parts;
    const [local = email] = email.split("@");
    const name = (proven.name?.trim() || local).slice(0, NAME_CHARACTERS);
    const user = { id: newId(), email, name, admin: false, createdAt: new Date() };
    const created = await rows.create(user, {
      identity: proven.identity,
      // Naming the domains is inviting whoever has an address there, once there is an administrator.
      admit: (isFirst) => {
        if (isFirst || oidc.settings.emailDomains === undefined)
          assertOpen({ isFirst, toThisHost });
      },
    });
    if (created === undefined) throw taken(email);
    return created;
  }

  #emailOf({ email, emailVerified }: Proven): string {
    const { name, emailDomains } = this.#parts.oidc.settings;
    if (email === undefined || !emailVerified) {
      const message = `${name} does not vouch for your email address`;
      throw new InsienError("sign_in_failed", message);
    }
    const normal = normalEmail(email);
    const domain = normal.slice(normal.lastIndexOf("@") + 1);
    if (emailDomains !== undefined && !emailDomains.includes(domain)) {
      const message = `People of ${domain} may not sign in here`;
      throw new InsienError("sign_in_failed", message);
    }
    return normal;
  }
}

const taken = (email: string): InsienError =>
  new InsienError("account_exists", `The account of ${email} has a password: sign in with that`);
