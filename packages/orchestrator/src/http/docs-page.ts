import { createHash } from "node:crypto";
import {
  type FieldRow,
  type JsonSchema,
  fieldRows,
  resolved,
  schemaName,
  typeName,
} from "./docs-schema.ts";
import { type OpenApiDocument, type Operation, operationsOf } from "./openapi.ts";

const STYLE = `
:root { color-scheme: light dark; --line: #8884; --dim: #888; --accent: #2563eb; }
body { font: 16px/1.55 system-ui, sans-serif; max-width: 60rem; }
body { margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0; } h2 { margin-top: 3rem; border-bottom: 1px solid var(--line); }
code, pre { font: 0.875em/1.5 ui-monospace, monospace; }
pre { padding: 0.75rem 1rem; border: 1px solid var(--line); border-radius: 6px; overflow-x: auto; }
nav { columns: 20rem; } nav a { display: block; } a { color: var(--accent); text-decoration: none; }
section { margin: 2rem 0; } section h3 { margin-bottom: 0; font-weight: 600; }
.method { display: inline-block; min-width: 4.5em; color: var(--accent); }
.dim { color: var(--dim); } table { border-collapse: collapse; width: 100%; margin: 0.5rem 0; }
th, td { text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th, td { padding: 0.25rem 0.75rem 0.25rem 0; }
td { overflow-wrap: anywhere; }
`;

/** Allows the page its one style sheet, and nothing else. */
export const DOCS_POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash("sha256").update(STYLE).digest("base64")}'`,
  "frame-ancestors 'none'",
].join("; ");

interface Entry {
  method: string;
  path: string;
  operation: Operation;
}

/** The OpenAPI document as one page of plain HTML: no script, nothing fetched from anywhere. */
export function docsPage(document: OpenApiDocument): string {
  const groups = new Map<string, Entry[]>();
  for (const entry of operationsOf(document)) {
    const tag = entry.operation.tags?.[0] ?? "Other";
    groups.set(tag, [...(groups.get(tag) ?? []), entry]);
  }
  const { title, version, description = "" } = document.info;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escape(title)} API</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escape(title)} API</h1>
<p class="dim">version ${escape(version)} · <a href="openapi.json">openapi.json</a></p>
${paragraphs(description)}
<nav>${[...groups.values()].flat().map(link).join("\n")}</nav>
${[...groups].map(([tag, entries]) => groupSection(document, tag, entries)).join("\n")}
<h2>Schemas</h2>
${Object.entries(document.components?.schemas ?? {})
  .map(([name, schema]) => schemaSection(document, name, schema as JsonSchema))
  .join("\n")}
</body>
</html>
`;
}

const anchor = ({ method, path }: Entry): string =>
  `${method}${path.replaceAll(/[^a-zA-Z0-9]+/g, "-")}`;

const heading = ({ method, path }: Entry): string =>
  `<code><span class="method">${method.toUpperCase()}</span>${escape(path)}</code>`;

const link = (entry: Entry): string => `<a href="#${anchor(entry)}">${heading(entry)}</a>`;

const groupSection = (document: OpenApiDocument, tag: string, entries: Entry[]): string =>
  `<h2>${escape(tag)}</h2>\n${entries.map((entry) => section(document, entry)).join("\n")}`;

function section(document: OpenApiDocument, entry: Entry): string {
  const { operation } = entry;
  return `<section id="${anchor(entry)}">
<h3>${heading(entry)}</h3>
${paragraphs(operation.summary ?? "")}${paragraphs(operation.description ?? "")}
${operation.security?.length === 0 ? '<p class="dim">Needs no key.</p>' : ""}
${fieldTable("Parameters", parameterRows(operation))}
${bodyTable(document, operation)}
${answers(operation)}
<pre>${escape(curl(document, entry))}</pre>
</section>`;
}

function parameterRows(operation: Operation): FieldRow[] {
  return (operation.parameters ?? []).flatMap((parameter) => {
    if (!("name" in parameter)) return [];
    const [row] = fieldRows({} as OpenApiDocument, {
      properties: { [parameter.name]: parameter.schema ?? {} },
      required: parameter.required === true ? [parameter.name] : [],
    });
    return row === undefined ? [] : [{ ...row, type: `${row.type}, in ${parameter.in}` }];
  });
}

function bodyOf(operation: Operation) {
  const { requestBody } = operation;
  if (requestBody === undefined || !("content" in requestBody)) return undefined;
  const [type, media] = Object.entries(requestBody.content)[0] ?? [];
  if (type === undefined || media === undefined) return undefined;
  const schema = (media.schema ?? {}) as JsonSchema;
  return { type, schema, isRequired: requestBody.required !== false };
}

function bodyTable(document: OpenApiDocument, operation: Operation): string {
  const body = bodyOf(operation);
  if (body === undefined) return "";
  const title = body.isRequired ? "Body" : "Body (optional)";
  return fieldTable(title, fieldRows(document, body.schema));
}

function answers(operation: Operation): string {
  const items = Object.entries(operation.responses ?? {}).map(([status, response]) => {
    const content = "content" in response ? Object.entries(response.content ?? {}) : [];
    const types = content.map(([type, { schema = {} }]) => {
      const named = schemaLink(schema);
      return type === "application/json" ? named : `<code>${escape(type)}</code>`;
    });
    const code = status === "default" ? "any error" : status;
    return `<tr><td>${code}</td><td>${types.join(", ")}</td></tr>`;
  });
  return items.length === 0
    ? ""
    : `<table><tr><th>Answer</th><th></th></tr>${items.join("")}</table>`;
}

function schemaLink(schema: JsonSchema): string {
  const name = schemaName(schema);
  if (name !== undefined) return `<a href="#schema-${name}">${name}</a>`;
  const fields = Object.entries(schema.properties ?? {});
  const described = fields.map(([key, field]) => `${key}: ${typeName(field)}`).join(", ");
  return `<code>{ ${escape(described)} }</code>`;
}

function fieldTable(title: string, rows: FieldRow[]): string {
  if (rows.length === 0) return "";
  const lines = rows.map(
    ({ name, type, isRequired, bounds }) =>
      `<tr><td><code>${escape(name)}</code>${isRequired ? ' <b title="required">*</b>' : ""}</td>` +
      `<td>${escape(type)}</td><td class="dim">${escape(bounds)}</td></tr>`,
  );
  return `<table><tr><th>${escape(title)}</th><th></th><th></th></tr>${lines.join("\n")}</table>`;
}

function schemaSection(document: OpenApiDocument, name: string, schema: JsonSchema): string {
  const id = `schema-${escape(name)}`;
  const table = fieldTable("Field", fieldRows(document, schema));
  return `<section id="${id}"><h3>${escape(name)}</h3>${table}</section>`;
}

function curl(document: OpenApiDocument, { method, path, operation }: Entry): string {
  if (path.startsWith("/agent/")) {
    return `new WebSocket("$INSIEN_URL${path}", ["insien.rpc.v1", "insien.key.$INSIEN_API_KEY"])`;
  }
  const flags: Record<string, string> = { get: "", head: "--head ", put: "--upload-file FILE " };
  const query = path.endsWith("/files") ? "?path=notes.txt" : "";
  const parts = [
    `curl ${flags[method] ?? `-X ${method.toUpperCase()} `}"$INSIEN_URL${path}${query}"`,
  ];
  if (operation.security?.length !== 0) parts.push('-H "X-API-Key: $INSIEN_API_KEY"');
  const body = bodyOf(operation);
  const example = body === undefined ? undefined : resolved(document, body.schema).examples?.[0];
  if (example !== undefined) {
    parts.push('-H "Content-Type: application/json"', `-d '${JSON.stringify(example)}'`);
  }
  return parts.join(" \\\n  ");
}

/** Text with `code` in back-quotes, as the descriptions are written. */
const paragraphs = (text: string): string =>
  text
    .split(/\n\n+/)
    .filter((each) => each !== "")
    .map((each) => `<p>${escape(each).replaceAll(/`([^`]+)`/g, "<code>$1</code>")}</p>`)
    .join("\n");

const ESCAPES: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escape = (text: string): string =>
  text.replaceAll(/[&<>"]/g, (each) => ESCAPES[each] ?? each);
