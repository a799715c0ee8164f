import { InsienError } from "@insien/protocol";
import type { FastifySchemaCompiler } from "fastify";
import { z } from "zod";
import { nearestName } from "./nearest-name.ts";

/** One thing wrong with a request, for programs; the error's message has the first for people. */
interface Problem {
  /** JSON pointer into the part of the request, e.g. `/resources/memory`. */
  pointer: string;
  message: string;
}

/** Checks bodies, queries and parameters; an `invalid_request` names the field. */
export const validatorCompiler: FastifySchemaCompiler<z.ZodType> = ({ schema, httpPart }) => {
  const part = httpPart === "querystring" ? "query" : (httpPart ?? "body");
  return (data) => {
    // A request without a body has `null` for one.
    const result = schema.safeParse(data ?? undefined);
    if (result.success) return { value: result.data };
    return { error: invalidRequest(result.error, schema, part) };
  };
};

function invalidRequest(error: z.ZodError, schema: z.ZodType, part: string): InsienError {
  // A misspelt field is told before the one that is missing for it.
  const [misspelt, others] = [error.issues.filter(isMisspelt), error.issues.filter(isOther)];
  const problems = [...misspelt, ...others].flatMap((issue) => problemsOf(issue, schema));
  const [first] = problems;
  const where = first === undefined || first.pointer === "" ? part : fieldOf(first.pointer);
  const message = `${where}: ${first?.message ?? "is not valid"}`;
  return new InsienError("invalid_request", message, {
    details: { in: part, pointer: first?.pointer ?? "", field: where, problems },
  });
}

const isMisspelt = (issue: z.core.$ZodIssue): boolean => issue.code === "unrecognized_keys";
const isOther = (issue: z.core.$ZodIssue): boolean => !isMisspelt(issue);

const fieldOf = (pointer: string): string =>
  pointer.slice(1).replaceAll("/", ".").replaceAll("~1", "/").replaceAll("~0", "~");

function problemsOf(issue: z.core.$ZodIssue, schema: z.ZodType): Problem[] {
  if (issue.code !== "unrecognized_keys") {
    return [{ pointer: pointerTo(issue.path), message: readable(issue) }];
  }
  const known = knownNames(schema, issue.path);
  return issue.keys.map((name) => {
    const meant = nearestName(name, known);
    const suggestion =
      meant === undefined ? `it may have ${known.join(", ")}` : `did you mean '${meant}'?`;
    const message = `unknown field '${name}': ${suggestion}`;
    return { pointer: pointerTo([...issue.path, name]), message };
  });
}

const pointerTo = (path: readonly PropertyKey[]): string =>
  path.map((step) => `/${String(step).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");

function readable(issue: z.core.$ZodIssue): string {
  if (issue.code === "invalid_type" && issue.message.endsWith("received undefined")) {
    return `is missing; expected ${issue.expected}`;
  }
  const [ofKey] = issue.code === "invalid_key" ? issue.issues : [];
  if (ofKey !== undefined) return `as a name, ${readable(ofKey)}`;
  const text = issue.message.replace(/^Invalid input: /, "");
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/** The names an object of the schema may have at `path`. */
function knownNames(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  const inner = unwrapped(schema);
  const [step, ...rest] = path;
  if (inner instanceof z.ZodUnion) {
    return inner.options.flatMap((option) => knownNames(asType(option), path));
  }
  if (inner instanceof z.ZodArray) return knownNames(asType(inner.element), rest);
  if (inner instanceof z.ZodRecord) return knownNames(asType(inner.valueType), rest);
  if (!(inner instanceof z.ZodObject)) return [];
  if (step === undefined) return Object.keys(inner.shape);
  return knownNames(asType(inner.shape[String(step)]), rest);
}

function unwrapped(schema: z.ZodType): z.ZodType {
  const isWrapper =
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodDefault;
  return isWrapper ? unwrapped(asType(schema.unwrap())) : schema;
}

/** For the types alone: whatever is in a schema of ours is one of these. */
const asType = (schema: unknown): z.ZodType => (schema instanceof z.ZodType ? schema : z.unknown());
