/** Bounds of accounts, their passwords and sessions. */
import { limit } from "./client-limits.ts";

const SECOND = 1000;
const DAY_SECONDS = 24 * 3600;

export const PEOPLE_LIMITS = {
  passwordCharacters: limit(
    256,
    "A sentence fits; a longer one would cost the hash and make nobody safer.",
  ),
  passwordHashesAtOnce: limit(2, "Each takes 19 MiB and a core's attention for its time."),
  passwordHashesWaiting: limit(
    64,
    "Sign-ins in line behind these; more are told to come back, so that a flood costs no memory.",
  ),
  signInsPerMinute: limit(
    30,
    "Attempts from one address to sign in or up; an office behind one address fits.",
  ),
  signInsPerAccountPerMinute: limit(
    10,
    "Attempts on one account from addresses it never signed in from; guessing passwords is hopeless.",
  ),
  accessTokenSeconds: limit(
    15 * 60,
    "How long a token is worth anything by itself; its session can end it at any moment.",
  ),
  sessionSeconds: limit(30 * DAY_SECONDS, "After it, a person signs in again."),
  sessionsPerPerson: limit(50, "Browsers and programs at once; the one unused longest gives way."),
  refreshAgainMs: limit(
    10 * SECOND,
    "How long a refresh token that was just used gives the same answer again: two tabs, or a lost answer.",
  ),
  keysPerPerson: limit(100, "API keys that a person may have, so that nobody fills the table."),
  oidcSignInSeconds: limit(10 * 60, "From leaving for the provider to coming back from it."),
  oidcProviderMs: limit(10 * SECOND, "For each answer of the provider."),
} as const;
