/**
 * What an agent says, made fit to be kept. An agent is not trusted: nothing is taken but values of
 * the type that was to be there, bounded, and in characters that every database stores.
 */
import { LIMITS } from "@insien/protocol";

/** An agent's clock may be wrong, but not by more than this to be believed. */
const CLOCK_TOLERANCE_MS = 24 * 3600 * 1000;

/** PostgreSQL stores neither NUL nor half of a surrogate pair. */
export function text(
  value: unknown,
  characters: number = LIMITS.recordedArgumentCharacters.value,
): string {
  if (typeof value !== "string") return "";
  return value.slice(0, characters).replaceAll("\0", "\uFFFD").toWellFormed();
}

/** Now, for what is no instant or far from now. */
export function instant(value: unknown): Date {
  const now = new Date();
  const at = typeof value === "string" ? new Date(value) : now;
  return Math.abs(at.getTime() - now.getTime()) < CLOCK_TOLERANCE_MS ? at : now;
}

export const isCount = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0;
