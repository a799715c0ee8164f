/** Accounts of people: who may have one, and what they may do with it. */
import { InsienError, newId } from "@insien/protocol";
import type { UserRecord, UserRows } from "../db/index.ts";
import { assertEnabled, normalEmail } from "./account-rules.ts";
import type { OidcSignIn } from "./oidc-sign-in.ts";
import { assertGoodPassword } from "./password-rules.ts";
import type { Passwords } from "./passwords.ts";
import type {
  Device,
  NewPerson,
  OpenSession,
  People,
  Person,
  PersonSession,
  SignInConfig,
  SignUp,
} from "./people.ts";
import { personOf, type PersonSessions } from "./person-sessions.ts";
import type { Principal } from "./principal.ts";
import { ProviderAccounts } from "./provider-accounts.ts";

const PAGE = 50;

export interface AccountsParts {
  rows: UserRows;
  sessions: PersonSessions;
  passwords: Passwords;
  signUp: SignUp;
  /** Whether the first account may be had by whoever comes first: only where none but this host come. */
  firstIsFree: boolean;
  /** What is remembered of keys is not true any more. */
  onKeysChanged: () => void;
  oidc?: OidcSignIn | undefined;
}

export class Accounts implements People {
  readonly provider: ProviderAccounts | undefined;
  readonly #parts: AccountsParts;
  readonly #rows: UserRows;
  readonly #sessions: PersonSessions;

  constructor(parts: AccountsParts) {
    this.#parts = parts;
    this.#rows = parts.rows;
    this.#sessions = parts.sessions;
    const { rows, sessions, oidc } = parts;
    this.provider =
      oidc &&
      new ProviderAccounts({ rows, sessions, oidc, assertOpen: (now) => this.#assertOpen(now) });
  }

  authenticate(token: string): Promise<Principal | undefined> {
    return this.#sessions.authenticate(token);
  }

  async config(): Promise<SignInConfig> {
    const needsFirstAccount = !(await this.#rows.any());
    return { signUp: this.#isOpen(needsFirstAccount) ? "open" : "closed", needsFirstAccount };
  }

  async signUp(
    body: NewPerson & { password: string },
    device: Device & { toThisHost: boolean },
  ): Promise<OpenSession> {
    const { toThisHost } = device;
    // Asked before the costly part too; the transaction that writes the account has the last word.
    this.#assertOpen({ isFirst: !(await this.#rows.any()), toThisHost });
    const user = await this.#create(body, (isFirst) => this.#assertOpen({ isFirst, toThisHost }));
    return this.#sessions.open(user, device);
  }

  async signIn(body: { email: string; password: string }, device: Device): Promise<OpenSession> {
    const user = await this.#rows.byEmail(normalEmail(body.email));
    const isRight = await this.#parts.passwords.verify(body.password, user?.passwordHash);
    if (user === undefined || !isRight)
      throw new InsienError("sign_in_failed", "The email address or the password is wrong");
    assertEnabled(user);
    await this.#renewHash(user, body.password);
    return this.#sessions.open(user, device);
  }

  refresh(refreshToken: string): Promise<OpenSession> {
    return this.#sessions.refresh(refreshToken);
  }

  signOut(refreshToken: string): Promise<boolean> {
    return this.#sessions.signOut(refreshToken);
  }

  async me(principal: Principal): Promise<Person> {
    return personOf(await this.#userOf(principal));
  }

  async rename(principal: Principal, name: string): Promise<Person> {
    const { id } = await this.#userOf(principal);
    return this.#change(id, { name });
  }

  async changePassword(
    principal: Principal,
    change: { from: string; to: string },
  ): Promise<number> {
    const user = await this.#userOf(principal);
    const { passwords } = this.#parts;
    const { passwordHash } = user;
    if (passwordHash === undefined)
      throw new InsienError("forbidden", "This account signs in with the provider: no password");
    if (!(await passwords.verify(change.from, passwordHash)))
      throw new InsienError("sign_in_failed", "The current password is wrong");
    assertGoodPassword(change.to, user.email, "new_password");
    const to = await passwords.hash(change.to);
    if (!(await this.#rows.setPassword(user.id, { from: passwordHash, to })))
      throw new InsienError("conflict", "The password was changed by another request meanwhile");
    return this.#sessions.endAll(user.id, { except: principal.sessionId });
  }

  sessions(principal: Principal): Promise<PersonSession[]> {
    return this.#sessions.list(principal.ownerId, sessionOf(principal));
  }

  async endSession(principal: Principal, id: string): Promise<boolean> {
    sessionOf(principal);
    return this.#sessions.end(id, { userId: principal.ownerId });
  }

  async endSessions(principal: Principal): Promise<number> {
    sessionOf(principal);
    return this.#sessions.endAll(principal.ownerId);
  }

  async create(
    principal: Principal,
    body: NewPerson & { password?: string; admin?: boolean },
  ): Promise<Person> {
    requireAdmin(principal);
    return personOf(await this.#create(body, () => undefined));
  }

  async list(
    principal: Principal,
    { limit = PAGE, cursor }: { limit?: number; cursor?: string },
  ): Promise<{ items: Person[]; nextCursor: string | undefined }> {
    requireAdmin(principal);
    const users = await this.#rows.list({ after: cursor, limit: limit + 1 });
    const items = users.slice(0, limit).map(personOf);
    return { items, nextCursor: users.length > limit ? items.at(-1)?.id : undefined };
  }

  async setDisabled(principal: Principal, id: string, disabled: boolean): Promise<Person> {
    requireAdmin(principal);
    if (principal.ownerId === id)
      throw new InsienError("conflict", "Another administrator must do that to your own account");
    const person = await this.#change(id, { disabled });
    if (disabled) await this.#sessions.endAll(id);
    this.#parts.onKeysChanged();
    return person;
  }

  #assertOpen({ isFirst, toThisHost }: { isFirst: boolean; toThisHost: boolean }): void {
    if (this.#isOpen(isFirst) && (toThisHost || !isFirst)) return;
    const message = isFirst
      ? "The first account of this server is made with its key: POST /api/v1/users"
      : "Accounts of this server are made by its administrators";
    throw new InsienError("sign_up_closed", message);
  }

  #isOpen(isFirst: boolean): boolean {
    const { signUp, firstIsFree } = this.#parts;
    return isFirst ? signUp !== "closed" && firstIsFree : signUp === "open";
  }

  async #create(
    body: NewPerson & { password?: string; admin?: boolean },
    admit: (isFirst: boolean) => void,
  ): Promise<UserRecord> {
    const email = normalEmail(body.email);
    const { password } = body;
    if (password !== undefined) assertGoodPassword(password, email, "password");
    const user = {
      ...{ id: newId(), email, name: body.name, admin: body.admin ?? false },
      createdAt: new Date(),
      passwordHash: password === undefined ? undefined : await this.#parts.passwords.hash(password),
    };
    const created = await this.#rows.create(user, { admit });
    if (created !== undefined) return created;
    throw new InsienError("account_exists", `There is an account for ${email} already`);
  }

  /** After a right password: what it costs to guess may have risen since it was set. */
  async #renewHash(user: UserRecord, password: string): Promise<void> {
    const { passwords } = this.#parts;
    const { passwordHash: from } = user;
    if (from === undefined || !passwords.isOutdated(from)) return;
    await this.#rows.setPassword(user.id, { from, to: await passwords.hash(password) });
  }

  async #userOf(principal: Principal): Promise<UserRecord> {
    sessionOf(principal);
    const user = await this.#rows.get(principal.ownerId);
    if (user === undefined) throw noAccount(principal.ownerId);
    return user;
  }

  async #change(id: string, changes: { name?: string; disabled?: boolean }): Promise<Person> {
    const user = await this.#rows.change(id, changes);
    if (user === undefined) throw noAccount(id);
    return personOf(user);
  }
}

const noAccount = (id: string): InsienError =>
  new InsienError("account_not_found", `There is no account ${id}`);

function sessionOf({ sessionId }: Principal): string {
  if (sessionId !== undefined) return sessionId;
  throw new InsienError("forbidden", "This is for people who signed in, not for keys");
}

function requireAdmin(principal: Principal): void {
  if (!principal.admin)
    throw new InsienError("forbidden", "Only an administrator may manage accounts");
}
