import type { OpenApiDocument } from "./openapi.ts";

/** The parts of a JSON schema that the docs show. */
export interface JsonSchema {
  $ref?: string;
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  items?: JsonSchema;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  additionalProperties?: JsonSchema | boolean;
  anyOf?: JsonSchema[];
  pattern?: string;
  minimum?: number;
  maximum?: number;
  minLength?: number;
  maxLength?: number;
  examples?: unknown[];
}

/** One row of a table of fields. */
export interface FieldRow {
  name: string;
  type: string;
  isRequired: boolean;
  bounds: string;
}

const REFERENCE = /^#\/components\/schemas\/(.+)$/;

export const schemaName = (schema: JsonSchema): string | undefined =>
  REFERENCE.exec(schema.$ref ?? "")?.[1];

export function resolved(document: OpenApiDocument, schema: JsonSchema): JsonSchema {
  const name = schemaName(schema);
  const target = name === undefined ? undefined : document.components?.schemas?.[name];
  return target === undefined ? schema : target;
}

/** An object's fields, nested objects as `outer.inner`. */
export function fieldRows(document: OpenApiDocument, schema: JsonSchema, prefix = ""): FieldRow[] {
  const { properties = {}, required = [] } = resolved(document, schema);
  return Object.entries(properties).flatMap(([key, field]) => {
    const name = `${prefix}${key}`;
    const isRequired = required.includes(key);
    const row = { name, type: typeName(field), isRequired, bounds: boundsOf(field) };
    const isNested = field.$ref === undefined && field.properties !== undefined;
    return isNested ? [row, ...fieldRows(document, field, `${name}.`)] : [row];
  });
}

/** A type as a person would say it. */
export function typeName(schema: JsonSchema): string {
  const name = schemaName(schema);
  if (name !== undefined) return name;
  if (schema.enum !== undefined)
    return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.anyOf !== undefined) return schema.anyOf.map(typeName).join(" | ");
  if (schema.items !== undefined) return `${typeName(schema.items)}[]`;
  const values = schema.additionalProperties;
  if (schema.type === "object" && typeof values === "object") return `map of ${typeName(values)}`;
  return [schema.type ?? "any"].flat().join(" | ");
}

function boundsOf(schema: JsonSchema): string {
  const said: string[] = [];
  if (schema.minimum !== undefined) said.push(`at least ${schema.minimum}`);
  if (isReal(schema.maximum)) said.push(`at most ${schema.maximum}`);
  if (schema.minLength !== undefined && schema.minLength > 1) {
    said.push(`${schema.minLength} characters or more`);
  }
  if (schema.maxLength !== undefined) said.push(`at most ${schema.maxLength} characters`);
  if (schema.pattern !== undefined) said.push(`matches ${schema.pattern}`);
  return said.join(", ");
}

/** Integers are generated with the largest safe one as their maximum, which says nothing. */
const isReal = (maximum: number | undefined): boolean =>
  maximum !== undefined && maximum < Number.MAX_SAFE_INTEGER;
