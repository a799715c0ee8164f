/**
 * Checks values against the protocol's schemas as JSON Schema. The schemas are written once, in
 * zod; zod itself stays outside, because its start costs every sandbox eight megabytes.
 */
export interface Shape {
  type?: "string" | "number" | "integer" | "boolean" | "object" | "array";
  const?: unknown;
  enum?: readonly unknown[];
  anyOf?: readonly Shape[];
  minLength?: number;
  maxLength?: number;
  pattern?: string;
  minimum?: number;
  maximum?: number;
  properties?: Readonly<Record<string, Shape>>;
  required?: readonly string[];
  items?: Shape;
  propertyNames?: Shape;
  additionalProperties?: Shape | boolean;
}

export interface Mismatch {
  /** "env.PATH", "args.2"; empty for the value itself. */
  field: string;
  message: string;
}

const patterns = new Map<string, RegExp>();

function patternOf(source: string): RegExp {
  let pattern = patterns.get(source);
  if (pattern === undefined) {
    pattern = new RegExp(source);
    patterns.set(source, pattern);
  }
  return pattern;
}

/** The first thing that is wrong, or `undefined`. Fields that the shape does not know are let pass. */
export function mismatch(shape: Shape, value: unknown, field: string = ""): Mismatch | undefined {
  const wrong = (message: string): Mismatch => ({ field, message });
  if (shape.anyOf !== undefined) {
    const found = shape.anyOf.map((option) => mismatch(option, value, field));
    return found.includes(undefined) ? undefined : found[0];
  }
  if (shape.const !== undefined && value !== shape.const) {
    return wrong(`must be ${JSON.stringify(shape.const)}`);
  }
  if (shape.enum !== undefined && !shape.enum.includes(value)) {
    return wrong(`must be one of ${shape.enum.join(", ")}`);
  }
  switch (shape.type) {
    case "string":
      return typeof value === "string"
        ? textMismatch(shape, value, wrong)
        : wrong("must be a text");
    case "number":
    case "integer":
      return typeof value === "number"
        ? numberMismatch(shape, value, wrong)
        : wrong("must be a number");
    case "boolean":
      return typeof value === "boolean" ? undefined : wrong("must be true or false");
    case "array":
      return Array.isArray(value) ? itemsMismatch(shape, value, field) : wrong("must be a list");
    case "object":
      return isRecord(value) ? fieldsMismatch(shape, value, field) : wrong("must be an object");
    default:
      return undefined;
  }
}

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

type Wrong = (message: string) => Mismatch;

function textMismatch(shape: Shape, value: string, wrong: Wrong): Mismatch | undefined {
  if (value.length < (shape.minLength ?? 0)) return wrong("must not be empty");
  if (value.length > (shape.maxLength ?? Infinity)) {
    return wrong(`may have ${shape.maxLength} characters at most`);
  }
  if (shape.pattern === undefined || patternOf(shape.pattern).test(value)) return undefined;
  return wrong(`must match ${shape.pattern.replaceAll("\0", "\\0")}`);
}

function numberMismatch(shape: Shape, value: number, wrong: Wrong): Mismatch | undefined {
  if (shape.type === "integer" && !Number.isSafeInteger(value))
    return wrong("must be a whole number");
  if (value < (shape.minimum ?? -Infinity)) return wrong(`must be ${shape.minimum} or more`);
  return value > (shape.maximum ?? Infinity)
    ? wrong(`must be ${shape.maximum} or less`)
    : undefined;
}

function itemsMismatch(shape: Shape, values: unknown[], field: string): Mismatch | undefined {
  if (shape.items === undefined) return undefined;
  for (const [index, value] of values.entries()) {
    const found = mismatch(shape.items, value, within(field, String(index)));
    if (found !== undefined) return found;
  }
  return undefined;
}

function fieldsMismatch(
  shape: Shape,
  value: Record<string, unknown>,
  field: string,
): Mismatch | undefined {
  for (const name of shape.required ?? []) {
    if (value[name] === undefined) return { field: within(field, name), message: "is required" };
  }
  const others = typeof shape.additionalProperties === "object" ? shape.additionalProperties : {};
  for (const [name, inner] of Object.entries(value)) {
    if (inner === undefined) continue;
    const place = within(field, name);
    const known = shape.properties !== undefined && Object.hasOwn(shape.properties, name);
    const nameFound = shape.propertyNames && mismatch(shape.propertyNames, name, place);
    const found =
      nameFound ?? mismatch((known && shape.properties?.[name]) || others, inner, place);
    if (found !== undefined) return found;
  }
  return undefined;
}

const within = (field: string, name: string): string => (field === "" ? name : `${field}.${name}`);
