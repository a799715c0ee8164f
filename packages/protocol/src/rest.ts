/**
 * REST v1: one set of schemas validates requests, shapes answers and generates /openapi.json. The
 * wire of `/api/v1` is snake_case throughout, as in the seeds it serves; the older `/sandbox/...`
 * routes keep their own camelCase answers.
 */
import { z } from "zod";
import { buildContext } from "./build-context.ts";
import { environment, jsonBytes } from "./environment.ts";
import { LIMITS } from "./limits.ts";
import { sizeText } from "./memory-size.ts";
import { plainText } from "./plain-text.ts";
import { portConfigs } from "./port-config.ts";
import { SANDBOX_STATES } from "./sandbox-states.ts";
import { commandLine, mainStatus } from "./settings.ts";
import { volumeConfigs } from "./volumes.ts";

export const sandboxState = z.enum(SANDBOX_STATES);

export const sandboxIdParam = z.object({
  id: z.string().regex(/^[a-z0-9]{4,40}$/, "must be a sandbox id: lower-case letters and digits"),
});

const memoryText = sizeText("32m", "64g");

export const resourceConfig = z.strictObject({
  /** Cores. */
  cpu: z.number().min(0.1).max(8).optional(),
  memory: memoryText.optional(),
  /** Processes and threads together. */
  pids: z.int().min(8).max(32_768).optional(),
  /** `all`, a number of them, or ids with commas between. */
  gpu: z
    .string()
    .regex(/^(?:all|\d{1,2}|[A-Za-z0-9:.-]+(?:,[A-Za-z0-9:.-]+)*)$/, "must be all, a number or ids")
    .optional(),
  /** Seconds that the sandbox lives: `ttl_seconds` by another name. */
  timeout: z.int().min(0).max(LIMITS.ttlSecondsMax.value).optional(),
  /** How often the main command is started again when it fails. */
  max_retries: z.int().min(0).max(LIMITS.mainRetriesMax.value).optional(),
});
export type ResourceConfig = z.infer<typeof resourceConfig>;

export const networkMode = z.enum(["none", "internet"]);
export type NetworkMode = z.infer<typeof networkMode>;

const metadata = z
  .record(plainText.min(1).max(128), plainText.max(4096))
  .refine(
    (data) => jsonBytes(data) <= LIMITS.metadataBytes.value,
    `must be at most ${LIMITS.metadataBytes.value} bytes as JSON`,
  );
const seconds = z.int().min(0).max(LIMITS.ttlSecondsMax.value);

export const createSandboxBody = z
  .strictObject({
    /**
     * Chosen by the caller, at random, so that it can connect before the answer is there, and so that
     * a create that is sent again after a lost answer is the same create.
     */
    id: z
      .string()
      .regex(/^[a-z0-9]{20}$/, "must be 20 lower-case letters and digits, at random")
      .optional(),
    name: plainText.min(1).max(128).optional(),
    /** A template's name; `base` by default. */
    template: z.string().min(1).max(128).optional(),
    /** Any container image instead of a template (docker runtime). */
    image: plainText
      .min(1)
      .max(512)
      // Docker takes the beginning of an id too, and finds what others built and nobody named.
      .refine((image) => !/^(?:sha\d+:|[0-9a-f]{64}$)/i.test(image), "must be a name, not an id")
      .optional(),
    /** An image is built from these files, and used instead of a template. */
    build_context: buildContext.optional(),
    /** Builds every step anew. */
    force_build: z.boolean().optional(),
    /** The main command is `entrypoint` followed by `command`; without either none is started. */
    entrypoint: commandLine.optional(),
    command: commandLine.optional(),
    volumes: volumeConfigs.optional(),
    ports: portConfigs.optional(),
    /** Nothing but /tmp, the home and volumes can be written. */
    read_only: z.boolean().optional(),
    environment: environment.optional(),
    metadata: metadata.optional(),
    resources: resourceConfig.optional(),
    network: networkMode.optional(),
    /** Destroyed this many seconds after its creation or last extension; 0: never. */
    ttl_seconds: seconds.optional(),
    /** Destroyed after this many seconds without a request, a running command or an open terminal; 0: never. */
    idle_timeout_seconds: seconds.optional(),
  })
  .refine(
    (body) => body.template === undefined || (body.image ?? body.build_context) === undefined,
    {
      path: ["template"],
      error: "excludes image and build_context: a sandbox is made from one of them",
    },
  )
  .refine(
    ({ ttl_seconds: ttl, resources }) =>
      ttl === undefined || resources?.timeout === undefined || ttl === resources.timeout,
    { path: ["resources", "timeout"], error: "differs from ttl_seconds, which means the same" },
  );
export type CreateSandboxBody = z.infer<typeof createSandboxBody>;

export const sandboxView = z.object({
  id: z.string(),
  name: z.string().optional(),
  template: z.string(),
  image: z.string().optional(),
  state: sandboxState,
  /** Why the state is what it is, when that needs saying. */
  state_reason: z.string().optional(),
  runtime: z.string(),
  resources: z.object({
    cpu: z.number(),
    memory: z.string(),
    pids: z.number(),
    gpu: z.string().optional(),
    max_retries: z.number(),
  }),
  read_only: z.boolean(),
  /** Of the main command, when there is one. */
  main: mainStatus.optional(),
  network: networkMode,
  metadata: z.record(z.string(), z.string()),
  /** Names only: values are never sent back. */
  environment_keys: z.array(z.string()),
  created_at: z.string(),
  started_at: z.string().optional(),
  ended_at: z.string().optional(),
  expires_at: z.string().optional(),
  idle_timeout_seconds: z.number(),
  last_activity_at: z.string(),
  /** The RPC WebSocket. */
  agent_url: z.string(),
});
export type SandboxView = z.infer<typeof sandboxView>;

export const listSandboxesQuery = z.strictObject({
  state: sandboxState.optional(),
  limit: z.coerce.number().int().min(1).max(LIMITS.pageSize.value).optional(),
  /** `next_cursor` of the page before. */
  cursor: z.string().max(256).optional(),
});
export const sandboxList = z.object({
  items: z.array(sandboxView),
  next_cursor: z.string().optional(),
});
export type SandboxList = z.infer<typeof sandboxList>;

export const timeoutBody = z
  .strictObject({ ttl_seconds: seconds.optional(), idle_timeout_seconds: seconds.optional() })
  .refine(
    (body) => body.ttl_seconds !== undefined || body.idle_timeout_seconds !== undefined,
    "give ttl_seconds, idle_timeout_seconds or both",
  );

export const execBody = z
  .strictObject({
    cmd: z.string().min(1).optional(),
    args: z.array(z.string()).optional(),
    shell: z.string().min(1).optional(),
    cwd: z.string().min(1).optional(),
    environment: environment.optional(),
    user: z.string().min(1).max(64).optional(),
    stdin: z.string().optional(),
    /** Seconds; 0: no limit. */
    timeout_seconds: z.number().min(0).max(86_400).optional(),
  })
  .refine(
    (body) => (body.cmd === undefined) !== (body.shell === undefined),
    "give either cmd (with args) or shell",
  );
export type ExecBody = z.infer<typeof execBody>;

export const execAnswer = z.object({
  stdout: z.string(),
  stderr: z.string(),
  exit_code: z.number(),
  signal: z.string().optional(),
  duration_ms: z.number(),
  truncated: z.object({ stdout_bytes: z.number(), stderr_bytes: z.number() }).optional(),
});
export type ExecAnswer = z.infer<typeof execAnswer>;

export const fileQuery = z.object({
  path: z.string().min(1).max(LIMITS.pathBytes.value),
  /** Octal permission bits for a new file, e.g. 755. */
  mode: z
    .string()
    .regex(/^[0-7]{3,4}$/)
    .optional(),
  user: z.string().min(1).max(64).optional(),
});
/** As the agent is asked for it. */
export const agentFileQuery = fileQuery.extend({
  /** Nothing outside of this directory is reached, whatever links lie in it. */
  root: z.string().min(1).max(LIMITS.pathBytes.value).optional(),
});

export const eventView = z.object({
  /** Grows by one or more with each event of the installation. */
  sequence: z.number(),
  sandbox_id: z.string(),
  type: z.string(),
  at: z.string(),
  data: z.record(z.string(), z.unknown()),
});
export const eventsQuery = z.strictObject({
  after: z.coerce.number().int().nonnegative().optional(),
  limit: z.coerce.number().int().min(1).max(1000).optional(),
});
export const eventList = z.object({ items: z.array(eventView) });

export const keyView = z.object({
  id: z.string(),
  name: z.string(),
  owner_id: z.string(),
  /** The first characters, to tell keys apart. */
  prefix: z.string(),
  admin: z.boolean(),
  created_at: z.string(),
  last_used_at: z.string().optional(),
});
export const createKeyBody = z.strictObject({
  name: z.string().min(1).max(128),
  /** Sandboxes belong to an owner; keys of one owner share them. A new owner by default. */
  owner_id: z
    .string()
    .regex(/^[a-z0-9]{4,40}$/)
    .optional(),
  admin: z.boolean().optional(),
});
export const createdKey = keyView.extend({ key: z.string() });

export const errorAnswer = z.object({
  error: z.object({
    code: z.string(),
    message: z.string(),
    hint: z.string(),
    retryable: z.boolean(),
    details: z.record(z.string(), z.unknown()).optional(),
    requestId: z.string().optional(),
  }),
});

/** The first seed's answers. */
export const seedCreateAnswer = z.object({ sandboxId: z.string(), agentUrl: z.string() });
export const seedDestroyAnswer = z.object({ success: z.boolean(), sandboxId: z.string() });
export const seedStatusAnswer = z.object({
  sandboxId: z.string(),
  connected: z.boolean(),
  createdAt: z.string(),
});

/** Lines of a create answered as `application/x-ndjson`: progress, then `sandbox` or `error` once. */
export type CreateProgressLine =
  | { type: "progress"; step: string; current?: number; total?: number; message?: string }
  | { type: "sandbox"; sandbox: SandboxView }
  | { type: "error"; error: z.infer<typeof errorAnswer>["error"] };

/** Lines (or server-sent events) of an exec answered as a stream: `exit` or `error` comes last, once. */
export type ExecLine =
  | { type: "started"; process_id: string; pid: number }
  | { type: "stdout" | "stderr"; data: string }
  /** The reader was too slow: this many bytes of the stream's output are gone. */
  | { type: "dropped"; stream: "stdout" | "stderr"; bytes: number }
  | {
      type: "exit";
      exit_code?: number;
      signal?: string;
      duration_ms: number;
      error?: z.infer<typeof errorAnswer>["error"];
    }
  | { type: "error"; error: z.infer<typeof errorAnswer>["error"] };

/**
 * A browser cannot set headers on a WebSocket. It offers two subprotocols instead,
 * `new WebSocket(url, [WEBSOCKET_PROTOCOL, WEBSOCKET_KEY_PREFIX + encodeURIComponent(key)])`, and is
 * answered with the first. `?api_key=` works too, but addresses end up in the logs of proxies.
 */
export const WEBSOCKET_PROTOCOL = "insien.rpc.v1";
export const WEBSOCKET_KEY_PREFIX = "insien.key.";

/** `GET /health`, open to all. */
export const healthAnswer = z.object({
  status: z.enum(["ok", "degraded"]),
  version: z.string(),
  runtime: z.string(),
  database: z.enum(["ok", "down"]),
});
