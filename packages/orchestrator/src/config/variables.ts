/** Every variable that configures the orchestrator: what it may be, and what it is when absent. */
import { parseMemory } from "@insien/protocol";
import { z } from "zod";

const SEED_SECRET = "your-secret-key-change-in-production";
const LATER_RUNTIMES = ["vm", "kubernetes"];

function whole(minimum: number, maximum: number) {
  const complaint = `must be a whole number from ${minimum} to ${maximum}`;
  return z
    .string()
    .regex(/^\d{1,15}$/, complaint)
    .transform(Number)
    .refine((number) => number >= minimum && number <= maximum, complaint);
}

function oneOf<const Choice extends string>(...choices: Choice[]) {
  const last = choices.at(-1) ?? "";
  return z.enum(choices, { error: `must be ${choices.slice(0, -1).join(", ")} or ${last}` });
}

const cores = z
  .string()
  .refine(
    (text) => Number(text) >= 0.1 && Number(text) <= 8,
    "must be a number of cores from 0.1 to 8",
  )
  .transform(Number);

const memory = z.string().transform((text, context) => {
  const bytes = parseMemory(text);
  if (bytes !== undefined && bytes >= 32 * 1024 ** 2 && bytes <= 64 * 1024 ** 3) return bytes;
  context.addIssue("must be a size from 32m to 64g, such as 512m or 2g");
  return z.NEVER;
});

const size = z.string().transform((text, context) => {
  const bytes = parseMemory(text);
  if (bytes !== undefined && Number.isSafeInteger(bytes)) return bytes;
  context.addIssue("must be a size such as 16g");
  return z.NEVER;
});

const diskSize = z.string().transform((text, context) => {
  const bytes = parseMemory(text);
  if (bytes !== undefined && bytes > 0) return bytes;
  context.addIssue("must be a size, such as 500m or 8g");
  return z.NEVER;
});

const hosts = z
  .string()
  .transform((text) => text.split(",").map((each) => each.trim()))
  .refine(
    (list) => list.every((each) => /^[A-Za-z0-9.:-]{1,253}$/.test(each)),
    "must be host names or addresses, with commas between",
  );

const flag = z
  .string()
  .regex(/^(1|0|true|false)$/, "must be 1 or 0")
  .transform((text) => text === "1" || text === "true");

const runtime = z
  .string()
  .refine(
    (name) => !LATER_RUNTIMES.includes(name),
    "names a runtime that is not there yet: take docker or bubblewrap",
  )
  .pipe(oneOf("auto", "docker", "bubblewrap"));

const origins = z
  .string()
  .transform((text) => text.split(",").map((each) => each.trim()))
  .refine(
    (list) => list.every((each) => URL.canParse(each) && new URL(each).origin === each),
    "must be origins such as https://app.example.com, with commas between",
  );

const webUrl = z
  .string()
  .refine(
    (text) => /^https?:\/\//.test(text) && URL.canParse(text),
    "must be like https://sandboxes.example.com",
  );

const origin = z
  .string()
  .refine(
    (text) => /^https?:\/\//.test(text) && URL.canParse(text) && new URL(text).origin === text,
    "must be like http://10.0.0.5:3000, with nothing after it",
  );

/** Whoever listens in between could sign in as anyone, so plain http is for this host alone. */
const issuer = z
  .string()
  .refine(
    (text) =>
      URL.canParse(text) &&
      (text.startsWith("https:") || /^http:\/\/(?:localhost|127\.0\.0\.1|\[::1\])[:/]/.test(text)),
    "must be like https://login.example.com",
  );

const domain = z
  .string()
  .transform((text) => text.toLowerCase())
  .refine(
    (text) =>
      text.length <= 200 &&
      text.split(".").every((label) => /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(label)) &&
      !/^[\d.]+$/.test(text),
    "must be a domain such as sandboxes.example.com",
  );

/** `undefined`: none. */
const portRange = z.string().transform((text, context) => {
  if (text === "none") return undefined;
  const [, firstText, lastText] = /^(\d{1,5})-(\d{1,5})$/.exec(text) ?? [];
  const [first, last] = [Number(firstText), Number(lastText)];
  if (first >= 1 && first <= last && last <= 65_535) return { first, last };
  context.addIssue("must be a range such as 20000-29999, or none");
  return z.NEVER;
});

/** A URL as PostgreSQL has them: the host may be left out, even after a user. */
const databaseUrl = z
  .string()
  .refine(
    (text) => /^postgres(ql)?:\/\//.test(text) && URL.canParse(text.replace("@/", "@localhost/")),
    "must be like postgresql://user:password@host:5432/name",
  );

const DAY_SECONDS = 24 * 3600;

const shape = {
  PORT: whole(0, 65_535).prefault("3000"),
  WS_PORT: whole(0, 65_535).prefault("3001"),
  /** This machine only, until someone decides otherwise: whoever has a key runs code here. */
  HOST: z.string().regex(/^\S+$/, "must be an address or a host name").default("127.0.0.1"),
  JWT_SECRET: z
    .string()
    .refine(
      (secret) => secret !== SEED_SECRET,
      "is the example that everybody knows: leave it out, and one is made",
    )
    .min(16, "must have at least 16 characters")
    .optional(),
  API_KEY: z
    .string()
    .regex(/^[\x21-\x7e]{8,}$/, "must have at least 8 characters, without blanks")
    .optional(),
  AGENT_IMAGE: z
    .string()
    .regex(/^\S{1,512}$/, "must be the name of an image")
    .optional(),
  DATABASE_URL: databaseUrl.optional(),
  INSIEN_DATA_DIR: z.string().default(".insien"),
  INSIEN_RUNTIME: runtime.prefault("auto"),
  /** As Docker's own command reads it; only a daemon on this machine can share sockets with it. */
  DOCKER_HOST: z
    .string()
    .regex(/^unix:\/\/\/\S+$/, "must be like unix:///var/run/docker.sock: a daemon on this machine")
    .transform((text) => text.slice("unix://".length))
    .optional(),
  /** Lets sudo work in containers, at the price of honouring setuid programs there. */
  INSIEN_ALLOW_SUDO: flag.prefault("0"),
  INSIEN_POOL_SIZE: whole(0, 1000).prefault("2"),
  INSIEN_POOL_MAXIMUM: whole(0, 1000).optional(),
  INSIEN_DEFAULT_CPU: cores.prefault("1"),
  INSIEN_DEFAULT_MEMORY: memory.prefault("512m"),
  INSIEN_DEFAULT_PIDS: whole(8, 32_768).prefault("256"),
  INSIEN_DEFAULT_NETWORK: oneOf("none", "internet").default("none"),
  INSIEN_DEFAULT_TTL_SECONDS: whole(0, 30 * DAY_SECONDS).prefault("0"),
  /** A program that forgot its sandbox should not keep the memory for ever. */
  INSIEN_DEFAULT_IDLE_TIMEOUT_SECONDS: whole(0, 30 * DAY_SECONDS).prefault("3600"),
  /** What one owner may have at once, and make in a minute; absent: no bound. */
  INSIEN_QUOTA_SANDBOXES: whole(0, 1_000_000).optional(),
  INSIEN_QUOTA_CPU: z
    .string()
    .regex(/^\d{1,6}(\.\d{1,3})?$/, "must be a number of cores such as 16 or 2.5")
    .transform(Number)
    .optional(),
  INSIEN_QUOTA_MEMORY: size.optional(),
  INSIEN_QUOTA_DISK: size.optional(),
  INSIEN_QUOTA_CREATES_PER_MINUTE: whole(0, 1_000_000).optional(),
  /** The daemon pulls with the host's address: these alone, or all that are public. */
  INSIEN_REGISTRIES: hosts.optional(),
  /** The host mounts with its own address and rights: from elsewhere only for administrators. */
  INSIEN_NFS_SERVERS: hosts.optional(),
  INSIEN_PUBLIC_URL: webUrl.optional(),
  /** Where the other orchestrators on the same database reach this one. */
  INSIEN_NODE_URL: origin.optional(),
  /** `8080-<sandbox id>.<domain>` leads to port 8080 of the sandbox. */
  INSIEN_DOMAIN: domain.optional(),
  /** Ports of this host that may be led to a sandbox's. */
  INSIEN_EXTERNAL_PORTS: portRange.prefault("1024-65535"),
  /** Webhooks may then be sent to this host and its networks, whoever made them. */
  INSIEN_WEBHOOK_ALLOW_PRIVATE: flag.prefault("0"),
  INSIEN_TRUST_PROXY: flag.prefault("0"),
  INSIEN_CORS_ORIGINS: origins.optional(),
  /** Who may make an account by themselves; `first`: whoever makes the first one. */
  INSIEN_SIGN_UP: oneOf("first", "open", "closed").default("first"),
  /** A provider of OpenID Connect that people may sign in with. */
  INSIEN_OIDC_ISSUER: issuer.optional(),
  INSIEN_OIDC_CLIENT_ID: z.string().max(500).optional(),
  INSIEN_OIDC_CLIENT_SECRET: z.string().max(500).optional(),
  INSIEN_OIDC_NAME: z.string().max(50, "must be short: it is on a button").default("OpenID"),
  INSIEN_OIDC_EMAIL_DOMAINS: z
    .string()
    .transform((text) => text.split(",").map((each) => each.trim().toLowerCase()))
    .refine(
      (list) => list.every((each) => /^[a-z0-9.-]{1,253}$/.test(each)),
      "must be domains such as example.com, with commas between",
    )
    .optional(),
  INSIEN_ON_STOP: oneOf("keep", "destroy").default("keep"),
  /** `apart`: only processes of their own do it, `main.ts monitor` and `main.ts worker`. */
  INSIEN_MONITOR: oneOf("inside", "apart").default("inside"),
  INSIEN_WORKER: oneOf("inside", "apart").default("inside"),
  INSIEN_MONITOR_INTERVAL_SECONDS: whole(1, 30).prefault("5"),
  INSIEN_METRICS_RETENTION_HOURS: whole(1, 365 * 24).prefault("168"),
  INSIEN_MEMORY_HIGH_PERCENT: whole(1, 100).prefault("90"),
  /** Files of one sandbox; a bound that is told, not one that is kept to. */
  INSIEN_DISK_HIGH: diskSize.prefault("8g"),
  INSIEN_WORKER_INTERVAL_SECONDS: whole(5, DAY_SECONDS).prefault("60"),
  INSIEN_RECORD_RETENTION_HOURS: whole(1, 10 * 365 * 24).prefault("168"),
  INSIEN_IMAGE_RETENTION_HOURS: whole(0, 365 * 24).prefault("24"),
  INSIEN_LOG_LEVEL: oneOf("fatal", "error", "warn", "info", "debug", "trace", "silent").default(
    "info",
  ),
};

export const variables = z
  .object(shape)
  .refine(({ PORT, WS_PORT }) => PORT !== WS_PORT || PORT === 0, {
    path: ["WS_PORT"],
    error: "must differ from PORT, which serves WebSockets as well",
  })
  .superRefine(({ INSIEN_OIDC_ISSUER, INSIEN_OIDC_CLIENT_ID }, context) => {
    if ((INSIEN_OIDC_ISSUER === undefined) === (INSIEN_OIDC_CLIENT_ID === undefined)) return;
    const [issuerName, clientName] = ["INSIEN_OIDC_ISSUER", "INSIEN_OIDC_CLIENT_ID"] as const;
    const hasIssuer = INSIEN_OIDC_ISSUER !== undefined;
    const given = hasIssuer ? issuerName : clientName;
    const missing = hasIssuer ? clientName : issuerName;
    context.addIssue({ code: "custom", path: [given], message: `goes with ${missing}` });
  });

export type Variables = z.infer<typeof variables>;
export type VariableName = keyof typeof shape;
export const variableNames = Object.keys(shape);

/** Their values appear in no message and no log. */
export const SECRET_VARIABLES: ReadonlySet<string> = new Set<VariableName>([
  "JWT_SECRET",
  "API_KEY",
  "INSIEN_OIDC_CLIENT_SECRET",
  "DATABASE_URL",
]);
