/**
 * Passwords are kept as Argon2id hashes, which cost memory to compute and so to guess. The hash's
 * text names its parameters (the PHC string format), so that they can rise later.
 */
import { argon2, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { InsienError, LIMITS } from "@insien/protocol";

interface Cost {
  memoryKib: number;
  passes: number;
  parallelism: number;
}

/** The first choice of OWASP's password storage sheet: 19 MiB, two passes, one lane. */
const COST: Cost = { memoryKib: 19 * 1024, passes: 2, parallelism: 1 };
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** Version 1.3 of Argon2, the only one that is made here. */
const FORM = /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,2}),p=(\d{1,2})\$([\w+/]+)\$([\w+/]+)$/;
/** Of no password: what is compared when there is no account, so that this takes as long. */
const NOBODYS = encoded(COST, Buffer.alloc(SALT_BYTES), Buffer.alloc(HASH_BYTES));

const derive = promisify(argon2);

export class Passwords {
  readonly #cost: Cost;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(options: { cost?: Cost } = {}) {
    this.#cost = options.cost ?? COST;
  }

  async hash(password: string): Promise<string> {
    const salt = randomBytes(SALT_BYTES);
    const hash = await this.#derive(password, salt, this.#cost, HASH_BYTES);
    return encoded(this.#cost, salt, hash);
  }

  /** Whether the password is the one of the hash. Without a hash it is not, after as long. */
  async verify(password: string, stored: string | undefined): Promise<boolean> {
    const { cost, salt, hash } = decoded(stored ?? NOBODYS);
    const derived = await this.#derive(password, salt, cost, hash.length);
    return timingSafeEqual(derived, hash) && stored !== undefined;
  }

  /** Whether a hash was made at another cost than today's. */
  isOutdated(stored: string): boolean {
    const { cost } = decoded(stored);
    return (
      cost.memoryKib !== this.#cost.memoryKib ||
      cost.passes !== this.#cost.passes ||
      cost.parallelism !== this.#cost.parallelism
    );
  }

  async #derive(password: string, salt: Buffer, cost: Cost, bytes: number): Promise<Buffer> {
    await this.#turn();
    try {
      return await derive("argon2id", {
        // One password however a keyboard composes its accents.
        message: password.normalize("NFKC"),
        nonce: salt,
        parallelism: cost.parallelism,
        tagLength: bytes,
        memory: cost.memoryKib,
        passes: cost.passes,
      });
    } finally {
      // A turn goes from hand to hand: whoever waits takes it, without anyone slipping in between.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running -= 1;
      else next();
    }
  }

  async #turn(): Promise<void> {
    if (this.#running < LIMITS.passwordHashesAtOnce.value) {
      this.#running += 1;
      return;
    }
    if (this.#waiting.length >= LIMITS.passwordHashesWaiting.value) {
      throw new InsienError("rate_limited", "Too many people sign in at this moment", {
        details: { retryAfterSeconds: 1 },
      });
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }
}

function encoded({ memoryKib, passes, parallelism }: Cost, salt: Buffer, hash: Buffer): string {
  const [saltText, hashText] = [salt, hash].map((bytes) =>
    bytes.toString("base64").replace(/=+$/, ""),
  );
  return `$argon2id$v=19$m=${memoryKib},t=${passes},p=${parallelism}$${saltText}$${hashText}`;
}

function decoded(stored: string): { cost: Cost; salt: Buffer; hash: Buffer } {
  const [, memory, passes, parallelism, salt = "", hash = ""] = FORM.exec(stored) ?? [];
  if (memory === undefined)
    throw new Error("a password's hash is not in the form it is written in");
  return {
    cost: { memoryKib: Number(memory), passes: Number(passes), parallelism: Number(parallelism) },
    salt: Buffer.from(salt, "base64"),
    hash: Buffer.from(hash, "base64"),
  };
}
