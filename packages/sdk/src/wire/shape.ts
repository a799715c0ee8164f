/**
 * What values look like, checked by functions: requests before they are sent, answers before they
 * are believed. This is the one place that knows that the wire is snake_case and the SDK camelCase.
 * The schemas of the protocol say the same with a library that is larger than this package.
 */
import { parseMemory } from "@insien/protocol/byte-size";
import { sandboxError } from "../errors.ts";

/**
 * `request`: the caller's camelCase becomes the wire's snake_case; `answer`: the other way round,
 * with fields of newer servers left out; `model`: camelCase stays, with defaults filled in.
 */
type Direction = "request" | "answer" | "model";

export interface Place {
  /** In the spelling of what is looked at. */
  readonly field: string;
  readonly direction: Direction;
}

/** Gives the value as its other side has it, or throws a `Mismatch`. */
export type Shape<Value> = (value: unknown, place: Place) => Value;
export type ValueOf<Kind> = Kind extends Shape<infer Value> ? Value : never;

class Mismatch extends Error {
  readonly field: string;

  constructor({ field }: Place, expectation: string) {
    super(`${field || "it"} ${expectation}`);
    this.field = field;
  }
}

/** Whatever a value is, in few characters. */
function shown(value: unknown): string {
  if (value === undefined) return "absent";
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

const mismatch = (value: unknown, place: Place, expectation: string): Mismatch =>
  new Mismatch(
    place,
    value === undefined
      ? `is missing: it must be ${expectation}`
      : `must be ${expectation}, not ${shown(value)}`,
  );

/** A value that passes the test, unchanged. */
const checked =
  <Value>(test: (value: unknown) => boolean, expectation: string): Shape<Value> =>
  (value, place) => {
    if (test(value)) return value as Value;
    throw mismatch(value, place, expectation);
  };

export const text: Shape<string> = checked((value) => typeof value === "string", "text");
export const matching = (pattern: RegExp, expectation: string): Shape<string> =>
  checked((value) => typeof value === "string" && pattern.test(value), expectation);
export const boolean: Shape<boolean> = checked(
  (value) => typeof value === "boolean",
  "true or false",
);
export const anything: Shape<unknown> = (value) => value;
/** What an event tells: facts that differ from event to event, under names in camelCase. */
export const facts: Shape<Record<string, unknown>> = (value, place) =>
  ownNames(plainObject(value, place)) as Record<string, unknown>;

export const number = (least = -Infinity, most = Infinity): Shape<number> =>
  checked(
    (value) => typeof value === "number" && value >= least && value <= most,
    `a number${range(least, most)}`,
  );
export const integer = (least: number, most: number): Shape<number> =>
  checked(
    (value) => Number.isInteger(value) && (value as number) >= least && (value as number) <= most,
    `a whole number${range(least, most)}`,
  );
const range = (least: number, most: number): string =>
  Number.isFinite(least) && Number.isFinite(most) ? ` from ${least} to ${most}` : "";

export const oneOf = <const Choice extends string>(...choices: readonly Choice[]): Shape<Choice> =>
  checked(
    (value) => (choices as readonly unknown[]).includes(value),
    choices.map((choice) => `"${choice}"`).join(" or "),
  );

/** A text such as `512m` whose size lies between two others. */
export const size = (least: string, most: string): Shape<string> =>
  checked((value) => {
    const bytes = typeof value === "string" ? parseMemory(value) : undefined;
    return bytes !== undefined && bytes >= bytesOf(least) && bytes <= bytesOf(most);
  }, `a size from ${least} to ${most} such as 512m or 2g`);
const bytesOf = (size: string): number => parseMemory(size) ?? 0;

/** A `Date` here, ISO 8601 text on the wire. */
export const date = ((value, place) => {
  if (place.direction !== "answer") {
    if (value instanceof Date && !Number.isNaN(value.getTime())) {
      return place.direction === "model" ? value : value.toISOString();
    }
    throw mismatch(value, place, "a valid Date");
  }
  const at = typeof value === "string" ? new Date(value) : undefined;
  if (at !== undefined && !Number.isNaN(at.getTime())) return at;
  throw mismatch(value, place, "a time");
}) as Shape<Date>;

export const optional =
  <Value>(shape: Shape<Value>): Shape<Value | undefined> =>
  (value, place) =>
    value === undefined ? undefined : shape(value, place);
export const nullable =
  <Value>(shape: Shape<Value>): Shape<Value | null> =>
  (value, place) =>
    value === null ? null : shape(value, place);
/** May be left out; a model has the default then, and the server chooses its own for a request. */
export const withDefault =
  <Value>(shape: Shape<Value>, value: Value): Shape<Value | undefined> =>
  (given, place) => {
    if (given === undefined) return place.direction === "model" ? value : undefined;
    return shape(given, place);
  };

export const either =
  <One, Other>(
    isOne: (value: unknown) => boolean,
    one: Shape<One>,
    other: Shape<Other>,
  ): Shape<One | Other> =>
  (value, place) =>
    isOne(value) ? one(value, place) : other(value, place);

export const list =
  <Item>(item: Shape<Item>, bounds: { least?: number; most?: number } = {}): Shape<Item[]> =>
  (value, place) => {
    const { least = 0, most = Infinity } = bounds;
    if (!Array.isArray(value)) throw mismatch(value, place, "a list");
    if (value.length < least || value.length > most) {
      throw new Mismatch(place, `must have ${least} to ${most} items, not ${value.length}`);
    }
    return value.map((one, index) => item(one, { ...place, field: `${place.field}[${index}]` }));
  };

/** Any keys; these are the caller's own and are spelled the same on both sides. */
export const record =
  <Value>(item: Shape<Value>, key: Shape<string> = text): Shape<Record<string, Value>> =>
  (value, place) => {
    const entries = Object.entries(plainObject(value, place)).map(([name, one]) => {
      key(name, { ...place, field: `the name "${name}" in ${place.field}` });
      return [name, item(one, { ...place, field: within(place, name) })] as const;
    });
    return Object.fromEntries(entries);
  };

/** Fields in camelCase. Of a request or model nothing may be unknown; an answer may have more. */
export function object<Model>(fields: {
  [Name in keyof Model]-?: Shape<Model[Name]>;
}): Shape<Model> {
  const shapes = Object.entries(fields) as [string, Shape<unknown>][];
  return (value, place) => {
    const given = plainObject(value, place);
    if (place.direction !== "answer") refuseUnknown(given, fields, place);
    const entries = shapes.map(([name, shape]) => {
      const [from, to] = spellings(name, place.direction);
      const own = Object.hasOwn(given, from) ? given[from] : undefined;
      return [to, shape(own, { ...place, field: within(place, from) })] as const;
    });
    return Object.fromEntries(entries) as Model;
  };
}

/** Adds a rule about fields together; it returns what is wrong and with which field. */
export const ruled =
  <Value>(
    shape: Shape<Value>,
    rule: (value: Value) => readonly [field: string, expectation: string] | undefined,
  ): Shape<Value> =>
  (value, place) => {
    const result = shape(value, place);
    const wrong = rule(value as Value);
    if (wrong === undefined) return result;
    throw new Mismatch({ ...place, field: within(place, wrong[0]) }, wrong[1]);
  };

const wireName = (name: string): string =>
  name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const ownName = (name: string): string =>
  name.replaceAll(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase());

function ownNames(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(ownNames);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [ownName(name), ownNames(inner)]),
  );
}

function spellings(name: string, direction: Direction): readonly [from: string, to: string] {
  if (direction === "answer") return [wireName(name), name];
  return [name, direction === "request" ? wireName(name) : name];
}

const within = ({ field }: Place, name: string): string =>
  field === "" ? name : `${field}.${name}`;

function plainObject(value: unknown, place: Place): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw mismatch(value, place, "an object");
}

function refuseUnknown(given: object, fields: object, place: Place): void {
  const unknown = Object.keys(given).find((name) => !Object.hasOwn(fields, name));
  if (unknown === undefined) return;
  const meant = ownName(unknown);
  const instead = Object.hasOwn(fields, meant)
    ? `is spelled ${meant} here`
    : `is no field; there are ${Object.keys(fields).join(", ")}`;
  throw new Mismatch({ ...place, field: within(place, unknown) }, instead);
}

/** What is sent for a value of the caller's. Throws `invalid_request`, naming the field. */
export const requestOf = (shape: Shape<unknown>, value: unknown): unknown =>
  refused(() => shape(value, { field: "", direction: "request" }));

/** The value with its defaults, in camelCase. Throws `invalid_request`, naming the field. */
export const modelOf = <Model>(shape: Shape<Model>, value: unknown): Model =>
  refused(() => shape(value, { field: "", direction: "model" }));

function refused<Value>(check: () => Value): Value {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof Mismatch)) throw error;
    const { field, message } = error;
    throw sandboxError("invalid_request", message, { details: { field } });
  }
}

/** What a server's answer says. Throws `invalid_answer`, naming request and field. */
export function answerOf<Answer>(shape: Shape<Answer>, value: unknown, what: string): Answer {
  try {
    return shape(value, { field: "", direction: "answer" });
  } catch (error) {
    if (!(error instanceof Mismatch)) throw error;
    const { field, message } = error;
    throw sandboxError("invalid_answer", `the answer to ${what} cannot be understood: ${message}`, {
      details: { field },
    });
  }
}
