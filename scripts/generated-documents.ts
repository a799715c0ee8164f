import { ERRORS, LIMITS } from "@insien/protocol";

const GENERATED = "<!-- Written by `npm run docs` from packages/protocol; change it there. -->";

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");

function errorsDocument(): string {
  const rows = Object.entries(ERRORS).map(([code, { status, sdkClass, retryable, hint }]) => [
    `\`${code}\``,
    String(status),
    `\`${sdkClass}\``,
    retryable ? "yes" : "no",
    hint,
  ]);
  return `# Errors
${GENERATED}

Every error that leaves Insien has a code from this table, on any door. REST answers
\`{ "error": { "code", "message", "hint", "retryable", "details"?, "requestId"? } }\` with the status
below; RPC answers \`{ "id", "type": "error", "error": { … } }\` with the same object; the SDK throws
the class below, with the code in \`code\`. \`message\` says what happened and to which thing.
"Retry" tells whether the same call may succeed later with nothing changed by the caller.

${table(["code", "HTTP status", "SDK class", "retry", "what to do next"], rows)}
`;
}

const UNITS: readonly (readonly [suffix: string, format: (value: number) => string])[] = [
  ["Bytes", bytes],
  ["SecondsMax", (value) => `${value} s`],
  ["Seconds", (value) => `${value} s`],
  ["Ms", (value) => (value % 1000 === 0 ? `${value / 1000} s` : `${value} ms`)],
];

function bytes(value: number): string {
  const mebi = value / 1024 ** 2;
  const kibi = value / 1024;
  if (Number.isInteger(mebi)) return `${mebi} MiB`;
  return Number.isInteger(kibi) ? `${kibi} KiB` : `${value} bytes`;
}

function readable(name: string, value: number): string {
  const unit = UNITS.find(([suffix]) => name.endsWith(suffix));
  return unit === undefined ? value.toLocaleString("en") : unit[1](value);
}

function limitsDocument(): string {
  const rows = Object.entries(LIMITS).map(([name, { value, reason }]) => [
    `\`${name}\``,
    readable(name, value),
    reason,
  ]);
  return `# Limits
${GENERATED}

Nothing that untrusted input can make grow is without a bound. The last word of a name is its unit.

${table(["limit", "value", "reason"], rows)}
`;
}

/** Documents that follow from tables in the code: path in the repository → text. */
export const generatedDocuments = (): Readonly<Record<string, string>> => ({
  "docs/errors.md": errorsDocument(),
  "docs/limits.md": limitsDocument(),
});
