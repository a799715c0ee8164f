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
  const problems = error.issues.flatMap((issue) => problemsOf(issue, schema));
  const [first] = problems;
  const where = first === undefined || first.pointer === "" ? part : fieldOf(first.pointer);
  const message = `${where}: ${first?.message ?? "is not valid"}`;
  return new InsienError("invalid_request", message, {
    details: { in: part, pointer: first?.pointer ?? "", field: where, problems },
  });
}

const fieldOf = (pointer: string): string => pointer.slice(1).replaceAll("/", ".");

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
  const text = issue.message.replace(/^Invalid input: /, "");
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/** The names an object of the schema may have at `path`. */
function knownNames(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  const inner = unwrapped(schema);
  if (!(inner instanceof z.ZodObject)) return [];
  const [step, ...rest] = path;
  if (step === undefined) return Object.keys(inner.shape);
  const field: unknown = inner.shape[String(step)];
  return field instanceof z.ZodType ? knownNames(field, rest) : [];
}

function unwrapped(schema: z.ZodType): z.ZodType {
  if (!(schema instanceof z.ZodOptional)) return schema;
  const inner: unknown = schema.unwrap();
  return inner instanceof z.ZodType ? unwrapped(inner) : schema;
}
