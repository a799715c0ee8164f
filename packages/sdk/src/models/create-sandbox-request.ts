/** What a new sandbox is to be. */
import { CLIENT_LIMITS as LIMITS } from "@insien/protocol/client-limits";
import {
  boolean,
  either,
  integer,
  list,
  matching,
  modelOf,
  object,
  oneOf,
  optional,
  record,
  ruled,
  text,
  withDefault,
} from "../wire/shape.ts";
import { portConfig, type PortConfig } from "./port-config.ts";
import { resourceConfig, type ResourceConfig } from "./resource-config.ts";
import { volumeConfig, volumeName, type VolumeConfig } from "./volume-config.ts";

/** Text is a line for `/bin/sh -c`; a list is a program and its arguments, taken as they are. */
export type CommandLine = string | string[];

/** A file's text, or bytes as `{ base64 }`. */
export type BuildFile = string | { base64: string };

export interface CreateSandboxRequest {
  /** Any container image (docker runtime). */
  image?: string | undefined;
  /** A template's name instead of an image; `base` by default. */
  template?: string | undefined;
  /** By name. */
  volumes?: Record<string, VolumeConfig> | undefined;
  /** What every command of the sandbox starts with. */
  environment?: Record<string, string> | undefined;
  resources?: ResourceConfig | undefined;
  /** The main command, which is restarted when it fails (`resources.maxRetries`). */
  command?: CommandLine | undefined;
  /** What the main command begins with. */
  entrypoint?: CommandLine | undefined;
  /** Builds every step of `buildContext` anew. */
  forceBuild?: boolean | undefined;
  /** An image is built from these files, by path; one is the Dockerfile. */
  buildContext?: Record<string, BuildFile> | undefined;
  ports?: PortConfig[] | undefined;
  /** Nothing but /tmp, the home and volumes can be written. */
  readOnly?: boolean | undefined;
  name?: string | undefined;
  metadata?: Record<string, string> | undefined;
  /** "none" by default; "internet" reaches public addresses only. */
  network?: "none" | "internet" | undefined;
  /** Destroyed this long after its creation; 0: never. */
  ttlSeconds?: number | undefined;
  /** Destroyed after this long without a request, a running command or a terminal; 0: never. */
  idleTimeoutSeconds?: number | undefined;
}

const filled = matching(/./s, "a text that is not empty");
export const commandLine = either<string[], string>(
  Array.isArray,
  list(text, { least: 1 }),
  filled,
);
const seconds = integer(0, LIMITS.ttlSecondsMax.value);
const buildFile = either<{ base64: string }, string>(
  (value) => typeof value === "object",
  object<{ base64: string }>({ base64: text }),
  text,
);

export const environment = record(
  text,
  matching(/^[A-Za-z_][A-Za-z0-9_]*$/, "a variable's name: letters, digits and '_'"),
);

export const createSandboxRequest = ruled(
  object<CreateSandboxRequest>({
    image: optional(filled),
    template: optional(filled),
    volumes: optional(record(volumeConfig, volumeName)),
    environment: optional(environment),
    resources: optional(resourceConfig),
    command: optional(commandLine),
    entrypoint: optional(commandLine),
    forceBuild: withDefault(boolean, false),
    buildContext: optional(record(buildFile)),
    ports: optional(list(portConfig, { most: LIMITS.portsPerSandbox.value })),
    readOnly: optional(boolean),
    name: optional(filled),
    metadata: optional(record(text)),
    network: optional(oneOf("none", "internet")),
    ttlSeconds: optional(seconds),
    idleTimeoutSeconds: optional(seconds),
  }),
  ({ template, image, buildContext, ports = [] }) => {
    if (new Set(ports.map(({ internal }) => internal)).size < ports.length) {
      return ["ports", "names an internal port twice"];
    }
    if (buildContext !== undefined && !Object.hasOwn(buildContext, "Dockerfile")) {
      return ["buildContext", "must have a file named Dockerfile"];
    }
    if (template === undefined || (image ?? buildContext) === undefined) return undefined;
    return ["template", "excludes image and buildContext: a sandbox is made from one of them"];
  },
);

/** Checks a request and fills in its defaults. Throws `invalid_request`, naming the field. */
export const parseCreateSandboxRequest = (value: unknown): CreateSandboxRequest =>
  modelOf(createSandboxRequest, value);
