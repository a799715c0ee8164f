/** Accounts of people, their sessions, and how they sign in. */
import { z } from "zod";
import { PEOPLE_LIMITS } from "./people-limits.ts";
import { plainText } from "./plain-text.ts";

/** Fewer are guessed too soon, whatever they are. */
export const PASSWORD_MINIMUM = 10;
const PASSWORD_MAXIMUM = PEOPLE_LIMITS.passwordCharacters.value;

const email = z
  .string()
  .max(254)
  .regex(/^[^\s@\p{Cc}]+@[^\s@\p{Cc}]+$/u, "must be an email address");
const personName = plainText.trim().min(1).max(100);
/** Of an account; its rules are told by the server, which knows what is too common. */
const newPassword = plainText.min(PASSWORD_MINIMUM).max(PASSWORD_MAXIMUM);
const givenPassword = plainText.min(1).max(PASSWORD_MAXIMUM);
/**
 * For browsers: the refresh token comes in a cookie that scripts cannot read, and is left out of
 * the answer.
 */
const cookie = z.boolean().optional();

export const signUpBody = z.strictObject({
  email,
  password: newPassword,
  name: personName,
  cookie,
});
export const signInBody = z.strictObject({ email, password: givenPassword, cookie });
/** Without it, the token is taken from the cookie. */
export const refreshBody = z
  .strictObject({ refresh_token: z.string().min(1).max(256).optional() })
  .optional();
export const passwordBody = z.strictObject({
  current_password: givenPassword,
  new_password: newPassword,
});
export const profileBody = z.strictObject({ name: personName });

export const personView = z.object({
  /** Their sandboxes and keys have it as `owner_id`. */
  id: z.string(),
  email: z.string(),
  name: z.string(),
  admin: z.boolean(),
  disabled: z.boolean(),
  /** Whether the account has one; one without signs in with the provider. */
  has_password: z.boolean(),
  created_at: z.string(),
  last_seen_at: z.string().optional(),
});
export type PersonView = z.infer<typeof personView>;

export const sessionAnswer = z.object({
  user: personView,
  session_id: z.string(),
  access_token: z.string(),
  token_type: z.literal("Bearer"),
  /** Seconds. */
  expires_in: z.number(),
  /** Absent when it is in the cookie. */
  refresh_token: z.string().optional(),
});
export type SessionAnswer = z.infer<typeof sessionAnswer>;

export const ownAccount = personView.extend({ session_id: z.string() });

export const sessionView = z.object({
  id: z.string(),
  /** Whether it is the one that asks. */
  current: z.boolean(),
  /** What the browser or program called itself. */
  user_agent: z.string().optional(),
  created_at: z.string(),
  last_used_at: z.string(),
  expires_at: z.string(),
});
export const sessionList = z.object({ items: z.array(sessionView) });
/** How many sessions ended. */
export const endedAnswer = z.object({ ended: z.number() });

export const authConfig = z.object({
  sign_up: z.enum(["open", "closed"]),
  /** Nobody has an account yet; the first is the administrator's. */
  needs_first_account: z.boolean(),
  providers: z.array(z.object({ name: z.string(), url: z.string() })),
});

export const createUserBody = z.strictObject({
  email,
  name: personName,
  /** Without one, the account is for signing in with the provider. */
  password: newPassword.optional(),
  admin: z.boolean().optional(),
});
export const changeUserBody = z.strictObject({ disabled: z.boolean() });
export const userList = z.object({
  items: z.array(personView),
  next_cursor: z.string().optional(),
});
export const usersQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(200).optional(),
  cursor: z.string().max(64).optional(),
});
