/** Where the server is and which key opens it: the options, else the environment, else this machine's own server. */
import { readFile } from "node:fs/promises";
import { hostname, networkInterfaces } from "node:os";
import { join, resolve } from "node:path";
import { UsageError } from "./usage-error.ts";

export interface ConnectionFlags {
  url?: string | undefined;
  apiKey?: string | undefined;
}

export interface ServerAddress {
  apiUrl: string;
  apiKey: string;
}

const DEFAULT_URL = "http://localhost:3000";

/** The data directory of a server on this machine, as the server itself reads it. */
export const dataDirectory = (): string => resolve(process.env["INSIEN_DATA_DIR"] ?? ".insien");

/** Throws `UsageError`, with what to do, where no key is found. */
export async function findServer(flags: ConnectionFlags): Promise<ServerAddress> {
  const local = await localServer();
  const apiUrl = flags.url ?? process.env["INSIEN_API_URL"] ?? local.url ?? DEFAULT_URL;
  const isLocal = apiUrl === local.url;
  const apiKey =
    flags.apiKey ??
    process.env["INSIEN_API_KEY"] ??
    (isLocal ? (process.env["API_KEY"] ?? local.apiKey) : undefined);
  if (apiKey) return { apiUrl, apiKey };
  if (isLocal) {
    throw new UsageError(
      `There is no API key for ${apiUrl}.`,
      "The server was given its key: set INSIEN_API_KEY to it, or pass --api-key.",
    );
  }
  if (flags.url !== undefined || process.env["INSIEN_API_URL"] !== undefined) {
    throw new UsageError(
      `There is no API key for ${apiUrl}.`,
      "Set INSIEN_API_KEY or pass --api-key. In the directory of a running server neither is needed.",
    );
  }
  throw new UsageError(
    `No server runs from ${dataDirectory()}, and no other is named.`,
    "Start one with `insien up -d`, or set INSIEN_API_URL and INSIEN_API_KEY to those of another.",
  );
}

async function localServer(): Promise<{ url?: string; apiKey?: string }> {
  const directory = dataDirectory();
  const [server, apiKey] = await Promise.all([
    readFile(join(directory, "server.json"), "utf8").catch(() => undefined),
    readFile(join(directory, "api-key"), "utf8").catch(() => undefined),
  ]);
  if (server === undefined) return {};
  try {
    const { url } = JSON.parse(server) as { url?: unknown };
    return {
      ...(typeof url === "string" && isThisMachine(url) ? { url } : {}),
      ...(apiKey === undefined ? {} : { apiKey: apiKey.trim() }),
    };
  } catch {
    return {};
  }
}

/**
 * The directory may be anybody's, in a repository that was cloned: what it says must not lead
 * somebody's key elsewhere.
 */
export function isThisMachine(url: string): boolean {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) return false;
  const host = new URL(url).hostname.replace(/^\[|\]$/g, "").toLowerCase();
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return (
    ["localhost", "127.0.0.1", "::1", hostname().toLowerCase()].includes(host) ||
    addresses.some(({ address }) => address === host)
  );
}
