import type { Keys } from "./application.ts";
import type { People } from "./people.ts";
import type { Principal } from "./principal.ts";

/** A signed token as people have them; a key of the configuration may happen to look like one. */
const LOOKS_SIGNED = /^eyJ[\w-]+\.[\w-]+\.[\w-]+$/;

/** Whoever may call: holders of keys, and people who signed in. */
export class Callers {
  readonly #people: Pick<People, "authenticate">;
  readonly #keys: Pick<Keys, "authenticate">;

  constructor(parts: { people: Pick<People, "authenticate">; keys: Pick<Keys, "authenticate"> }) {
    this.#people = parts.people;
    this.#keys = parts.keys;
  }

  /** `undefined` for what is nobody's; throws `session_expired` for what was somebody's. */
  async authenticate(text: string): Promise<Principal | undefined> {
    const person = LOOKS_SIGNED.test(text) ? await this.#people.authenticate(text) : undefined;
    return person ?? this.#keys.authenticate(text);
  }
}
