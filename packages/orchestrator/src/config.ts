/**
 * The configuration: read once, from the environment and from `.env`, checked as a whole, and
 * frozen. Nothing else reads the environment.
 */
import { chmod, mkdir, readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { join, resolve } from "node:path";
import { parseEnv } from "node:util";
import { InsienError, type QuotaName } from "@insien/protocol";
import { readOrMakeSecret } from "./config/secret-file.ts";
import { SECRET_VARIABLES, variables, type Variables } from "./config/variables.ts";

export interface Config {
  readonly port: number;
  /** A second door, for WebSockets alone. */
  readonly webSocketPort: number;
  readonly host: string;
  /** Signs the tokens of agents. Made at the first start when it is not given. */
  readonly jwtSecret: string;
  /** The administrator's key, when it is given. */
  readonly apiKey: string | undefined;
  readonly agentImage: string | undefined;
  readonly databaseUrl: string | undefined;
  /** Absolute; it exists. */
  readonly dataDirectory: string;
  readonly runtime: "auto" | "docker" | "bubblewrap";
  /** The daemon's socket; Docker's usual one when `undefined`. */
  readonly dockerSocket: string | undefined;
  readonly allowSudo: boolean;
  /** Warm machines of the default template. */
  readonly poolSize: number;
  /** Warm machines of all templates together. */
  readonly poolMaximum: number;
  /** Of sandboxes that ask for none, and of warm machines. */
  readonly limits: Readonly<{ cpu: number; memoryBytes: number; pids: number }>;
  readonly sandboxDefaults: Readonly<{
    limits: Readonly<{ cpu: number; memoryBytes: number; pids: number }>;
    network: "none" | "internet";
    /** 0: never. */
    ttlSeconds: number;
    /** 0: never. */
    idleTimeoutSeconds: number;
  }>;
  /** Of owners for whom no administrator set others; sizes in bytes, what is absent is not bounded. */
  readonly quotas: Readonly<Partial<Record<QuotaName, number>>>;
  /** Servers from which every owner may mount volumes; administrators may from any. */
  readonly nfsServers: readonly string[];
  /** Of images; `undefined`: all that are at public addresses. */
  readonly registries: readonly string[] | undefined;
  readonly publicUrl: string | undefined;
  /** Where other orchestrators on the same database reach this one; from its address when `undefined`. */
  readonly nodeUrl: string | undefined;
  /** Host names under it lead to ports of sandboxes. */
  readonly domain: string;
  /** Ports of this host that may be led to a sandbox's; `undefined`: none. */
  readonly externalPorts: { readonly first: number; readonly last: number } | undefined;
  readonly trustProxy: boolean;
  /** Webhooks may be sent to this host and its networks. */
  readonly webhookAllowPrivate: boolean;
  /** Pages that may call from a browser; `undefined`: any that has a key. */
  readonly corsOrigins: readonly string[] | undefined;
  readonly people: Readonly<{
    /** `first`: until there is an account. */
    signUp: "first" | "open" | "closed";
    /** Whoever comes first may have the first account: only where none but this host can come. */
    firstIsFree: boolean;
  }>;
  /** Whom else people may sign in with. */
  readonly oidc:
    | Readonly<{
        issuer: string;
        clientId: string;
        clientSecret: string | undefined;
        name: string;
        emailDomains: readonly string[] | undefined;
      }>
    | undefined;
  /** What an orderly stop does with the sandboxes. */
  readonly onStop: "keep" | "destroy";
  readonly monitor: Readonly<{
    /** Where it runs: in the server, or only in processes of its own. */
    place: "inside" | "apart";
    intervalMs: number;
    /** Of the rows of one minute each; those as measured are kept for LIMITS.usageRawMs. */
    retentionMs: number;
    /** Of a sandbox's memory limit, from 0 to 1. */
    memoryHigh: number;
    diskHighBytes: number;
  }>;
  readonly worker: Readonly<{
    place: "inside" | "apart";
    intervalMs: number;
    /** How long ended sandboxes and their events stay readable. */
    recordRetentionMs: number;
    /** How long an image that was built here is kept for the next build. */
    imageRetentionMs: number;
  }>;
  readonly logLevel: Variables["INSIEN_LOG_LEVEL"];
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the configuration, makes the data directory, and the JWT secret in it when none is given.
 * Throws `invalid_request` with one sentence for each variable that is wrong.
 */
export async function loadConfig(
  options: { environment?: Environment; directory?: string } = {},
): Promise<Config> {
  const { environment = process.env, directory = process.cwd() } = options;
  const file = await readFile(join(directory, ".env"), "utf8").catch(() => "");
  const given = parseVariables({ ...parseEnv(file), ...withoutEmpty(environment) });
  const dataDirectory = resolve(directory, given.INSIEN_DATA_DIR);
  // Others may pass through, to the sockets in it that machines of other users dial, but not look around.
  await mkdir(dataDirectory, { recursive: true });
  await chmod(dataDirectory, 0o711);
  const jwtSecret = given.JWT_SECRET ?? (await readOrMakeSecret(join(dataDirectory, "jwt-secret")));
  return assemble(given, { dataDirectory, jwtSecret });
}

/** An empty variable counts as none, as in `PORT= ./start.sh`. */
function withoutEmpty(environment: Environment): Environment {
  return Object.fromEntries(Object.entries(environment).filter(([, value]) => value?.trim()));
}

function parseVariables(environment: Environment): Variables {
  const result = variables.safeParse(withoutEmpty(environment));
  if (result.success) return result.data;
  const sentences = new Map<string, string>();
  for (const issue of result.error.issues) {
    const name = String(issue.path[0]);
    const value = SECRET_VARIABLES.has(name) ? "" : ` is "${environment[name]}" and`;
    // The first complaint about a variable is the one that explains the others.
    if (!sentences.has(name)) sentences.set(name, `${name}${value} ${issue.message}.`);
  }
  throw new InsienError("invalid_request", [...sentences.values()].join("\n"), {
    details: { variables: [...sentences.keys()] },
  });
}

function assemble(given: Variables, made: Pick<Config, "dataDirectory" | "jwtSecret">): Config {
  const limits = Object.freeze({
    cpu: given.INSIEN_DEFAULT_CPU,
    memoryBytes: given.INSIEN_DEFAULT_MEMORY,
    pids: given.INSIEN_DEFAULT_PIDS,
  });
  return Object.freeze({
    ...made,
    port: given.PORT,
    webSocketPort: given.WS_PORT,
    host: given.HOST,
    apiKey: given.API_KEY,
    agentImage: given.AGENT_IMAGE,
    databaseUrl: given.DATABASE_URL,
    runtime: given.INSIEN_RUNTIME,
    dockerSocket: given.DOCKER_HOST,
    allowSudo: given.INSIEN_ALLOW_SUDO,
    poolSize: given.INSIEN_POOL_SIZE,
    poolMaximum:
      given.INSIEN_POOL_MAXIMUM ?? Math.max(given.INSIEN_POOL_SIZE, DEFAULT_POOL_MAXIMUM),
    limits,
    sandboxDefaults: Object.freeze({
      limits,
      network: given.INSIEN_DEFAULT_NETWORK,
      ttlSeconds: given.INSIEN_DEFAULT_TTL_SECONDS,
      idleTimeoutSeconds: given.INSIEN_DEFAULT_IDLE_TIMEOUT_SECONDS,
    }),
    quotas: quotasFrom(given),
    nfsServers: given.INSIEN_NFS_SERVERS ?? [],
    registries: given.INSIEN_REGISTRIES,
    publicUrl: given.INSIEN_PUBLIC_URL,
    nodeUrl: given.INSIEN_NODE_URL,
    domain: given.INSIEN_DOMAIN ?? domainOf(given.INSIEN_PUBLIC_URL),
    externalPorts: given.INSIEN_EXTERNAL_PORTS,
    trustProxy: given.INSIEN_TRUST_PROXY,
    webhookAllowPrivate: given.INSIEN_WEBHOOK_ALLOW_PRIVATE,
    corsOrigins: given.INSIEN_CORS_ORIGINS,
    people: Object.freeze({ signUp: given.INSIEN_SIGN_UP, firstIsFree: isForThisHost(given) }),
    oidc: oidcFrom(given),
    onStop: given.INSIEN_ON_STOP,
    monitor: Object.freeze({
      place: given.INSIEN_MONITOR,
      intervalMs: given.INSIEN_MONITOR_INTERVAL_SECONDS * 1000,
      retentionMs: given.INSIEN_METRICS_RETENTION_HOURS * HOUR_MS,
      memoryHigh: given.INSIEN_MEMORY_HIGH_PERCENT / 100,
      diskHighBytes: given.INSIEN_DISK_HIGH,
    }),
    worker: Object.freeze({
      place: given.INSIEN_WORKER,
      intervalMs: given.INSIEN_WORKER_INTERVAL_SECONDS * 1000,
      recordRetentionMs: given.INSIEN_RECORD_RETENTION_HOURS * HOUR_MS,
      imageRetentionMs: given.INSIEN_IMAGE_RETENTION_HOURS * HOUR_MS,
    }),
    logLevel: given.INSIEN_LOG_LEVEL,
  });
}

function oidcFrom(given: Variables): Config["oidc"] {
  const { INSIEN_OIDC_ISSUER: issuer, INSIEN_OIDC_CLIENT_ID: clientId } = given;
  if (issuer === undefined || clientId === undefined) return undefined;
  return Object.freeze({
    ...{ issuer, clientId },
    clientSecret: given.INSIEN_OIDC_CLIENT_SECRET,
    name: given.INSIEN_OIDC_NAME,
    emailDomains: given.INSIEN_OIDC_EMAIL_DOMAINS,
  });
}

/** Whether only programs and people of this host reach the server, as far as one can tell from here. */
function isForThisHost({ HOST, INSIEN_PUBLIC_URL, INSIEN_TRUST_PROXY }: Variables): boolean {
  const hosts = [
    HOST,
    INSIEN_PUBLIC_URL === undefined ? HOST : new URL(INSIEN_PUBLIC_URL).hostname,
  ];
  return !INSIEN_TRUST_PROXY && hosts.every((host) => LOOPBACK.test(host));
}

function quotasFrom(given: Variables): Config["quotas"] {
  const all: Record<QuotaName, number | undefined> = {
    sandboxes: given.INSIEN_QUOTA_SANDBOXES,
    cpu: given.INSIEN_QUOTA_CPU,
    memory: given.INSIEN_QUOTA_MEMORY,
    disk: given.INSIEN_QUOTA_DISK,
    creates_per_minute: given.INSIEN_QUOTA_CREATES_PER_MINUTE,
  };
  const bounded = Object.entries(all).filter(([, limit]) => limit !== undefined);
  return Object.freeze(Object.fromEntries(bounded) as Config["quotas"]);
}

/** Names under the public host, where it has one; browsers take names under localhost for this host. */
function domainOf(publicUrl: string | undefined): string {
  const host = publicUrl === undefined ? "localhost" : new URL(publicUrl).hostname;
  return isIP(host.replace(/^\[|\]$/g, "")) === 0 ? host : "localhost";
}

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[?::1\]?)$/;
const DEFAULT_POOL_MAXIMUM = 16;
const HOUR_MS = 3600 * 1000;
const HIDDEN = "(secret)";

/** The configuration for a log: everything but its secrets. */
export function describeConfig(config: Config): Record<string, unknown> {
  return {
    ...config,
    jwtSecret: HIDDEN,
    oidc: config.oidc && { ...config.oidc, clientSecret: HIDDEN },
    apiKey: config.apiKey === undefined ? undefined : HIDDEN,
    databaseUrl: config.databaseUrl === undefined ? undefined : withoutPassword(config.databaseUrl),
  };
}

/** A password may stand before the host or among the parameters; neither part is shown. */
function withoutPassword(databaseUrl: string): string {
  return databaseUrl.replace(/\?.*$/s, "").replace(/\/\/.*@/s, "//");
}
