/**
 * Who is signed in. The access token lives in this module's memory alone; what outlives the page is a
 * cookie that no script reads, from which a new access token comes.
 */
import { SandboxClient, SandboxError } from "@insien/sandbox";
import type { PersonView, SessionAnswer } from "@insien/protocol";
import { useSyncExternalStore } from "react";

interface Session {
  person: PersonView;
  token: string;
  /** On this page's clock. */
  expiresAtMs: number;
  client: SandboxClient;
}

/** A token this near its end is renewed first, so that it does not end on its way. */
const RENEW_BEFORE_MS = 30_000;

let session: Session | undefined;
let renewing: Promise<Session | undefined> | undefined;
const listeners = new Set<() => void>();
const signedOutListeners = new Set<() => void>();

export const onSignedOut = (listener: () => void): void => void signedOutListeners.add(listener);

function keep(next: Session | undefined): void {
  const before = session;
  session = next;
  for (const listener of listeners) listener();
  if (before === undefined || next !== undefined) return;
  for (const listener of signedOutListeners) listener();
}

const subscribe = (listener: () => void): (() => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

/** The person who is signed in. Throws outside the pages that need one. */
export function usePerson(): PersonView {
  const current = useSyncExternalStore(subscribe, () => session?.person);
  if (current !== undefined) lastPerson = current;
  if (lastPerson === undefined) throw new Error("Nobody is signed in");
  return lastPerson;
}
/** Shown for the moment between a sign-out and the page that follows. */
let lastPerson: PersonView | undefined;

async function send<Answer>(
  method: string,
  path: string,
  { body, token }: { body?: object | undefined; token?: string | undefined } = {},
): Promise<Answer> {
  const headers: Record<string, string> = {};
  if (body !== undefined) headers["content-type"] = "application/json";
  if (token !== undefined) headers["authorization"] = `Bearer ${token}`;
  const init =
    body === undefined ? { method, headers } : { method, headers, body: JSON.stringify(body) };
  const answer = await fetch(path, init).catch((cause: unknown) => {
    throw new SandboxError("connection_lost", "The server cannot be reached", { cause });
  });
  const parsed = (await answer.json().catch(() => undefined)) as
    | { error?: { code: string; message: string; hint?: string } }
    | undefined;
  if (answer.ok) return parsed as Answer;
  const error = parsed?.error ?? {
    code: "internal",
    message: `The server answered ${answer.status}`,
  };
  throw new SandboxError(error.code, error.message, { hint: error.hint });
}

function open(answer: SessionAnswer): Session {
  const opened = {
    person: answer.user,
    token: answer.access_token,
    expiresAtMs: Date.now() + answer.expires_in * 1000,
    client: new SandboxClient(location.origin, { apiKey: answer.access_token }),
  };
  keep(opened);
  return opened;
}

const ENDED: ReadonlySet<string> = new Set(["session_expired", "unauthorized", "forbidden"]);

/** One renewal at a time: what waits for a token waits for the same one. */
function renew(): Promise<Session | undefined> {
  renewing ??= send<SessionAnswer>("POST", "/api/v1/auth/refresh")
    .then(open, (error: unknown) => {
      if (!(error instanceof SandboxError) || !ENDED.has(error.code)) throw error;
      keep(undefined);
      return undefined;
    })
    .finally(() => {
      renewing = undefined;
    });
  return renewing;
}

async function current(): Promise<Session> {
  const fresh = session !== undefined && session.expiresAtMs - Date.now() > RENEW_BEFORE_MS;
  const found = fresh ? session : await renew();
  if (found === undefined) throw new SandboxError("session_expired", "Your session has ended");
  return found;
}

/** Whether somebody is signed in, as far as the cookie says. */
export async function isSignedIn(): Promise<boolean> {
  return (session ?? (await renew())) !== undefined;
}

/** Runs with a token that is good; where the server says otherwise, once more with a new one. */
async function withSession<Value>(work: (session: Session) => Promise<Value>): Promise<Value> {
  try {
    return await work(await current());
  } catch (error) {
    const refused = error instanceof SandboxError && error.status === 401 && session !== undefined;
    if (!refused) throw error;
    const again = await renew();
    if (again === undefined) throw error;
    return work(again);
  }
}

export const withClient = <Value>(
  work: (client: SandboxClient) => Promise<Value>,
): Promise<Value> => withSession(({ client }) => work(client));

/** For what makes an object of its own from address and token. */
export const withConnection = <Value>(
  work: (options: { apiUrl: string; apiKey: string }) => Promise<Value>,
): Promise<Value> => withSession(({ token }) => work({ apiUrl: location.origin, apiKey: token }));

/** A call about the account, which the SDK has no words for. */
export const callAccount = <Answer>(method: string, path: string, body?: object): Promise<Answer> =>
  withSession(({ token }) => send<Answer>(method, path, { body, token }));

export interface SignInSettings {
  sign_up: "open" | "closed";
  needs_first_account: boolean;
  providers: { name: string; url: string }[];
}
export const signInSettings = (): Promise<SignInSettings> => send("GET", "/api/v1/auth/config");

export async function signIn(body: { email: string; password: string }): Promise<void> {
  open(await send("POST", "/api/v1/auth/sign-in", { body: { ...body, cookie: true } }));
}

export async function signUp(body: {
  email: string;
  password: string;
  name: string;
}): Promise<void> {
  open(await send("POST", "/api/v1/auth/sign-up", { body: { ...body, cookie: true } }));
}

/** The page forgets even where the server could not be told. */
export async function signOut(): Promise<void> {
  try {
    await send("POST", "/api/v1/auth/sign-out");
  } finally {
    keep(undefined);
  }
}
