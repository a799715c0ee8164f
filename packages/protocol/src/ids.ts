/**
 * Identifiers. A sandbox id is a DNS label, a container name and a URL segment at once, so every id
 * is lower-case letters and digits only.
 */
declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

export type SandboxId = Branded<"SandboxId">;
export type MachineId = Branded<"MachineId">;

const ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz";
const ID_LENGTH = 20;
const ID_PATTERN = /^[a-z0-9]{4,40}$/;

/** 20 characters of base 36: 103 bits from the platform's secure generator. */
function randomId(): string {
  let id = "";
  while (id.length < ID_LENGTH) {
    for (const byte of crypto.getRandomValues(new Uint8Array(ID_LENGTH))) {
      // 252 is the largest multiple of 36 below 256; bytes above it would favour the first letters.
      if (byte < 252 && id.length < ID_LENGTH) id += ALPHABET[byte % ALPHABET.length];
    }
  }
  return id;
}

export const newSandboxId = (): SandboxId => randomId() as SandboxId;
export const newMachineId = (): MachineId => randomId() as MachineId;
/** An id for anything that needs no type of its own: processes, terminals, requests. */
export const newId = randomId;

export const isId = (value: string): boolean => ID_PATTERN.test(value);
export const asSandboxId = (value: string): SandboxId | undefined =>
  isId(value) ? (value as SandboxId) : undefined;
export const asMachineId = (value: string): MachineId | undefined =>
  isId(value) ? (value as MachineId) : undefined;

/** What keys begin with that Insien made: people and secret scanners recognise them by it. */
export const API_KEY_PREFIX = "insien_";
