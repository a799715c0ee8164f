/** `client.volumes`: the volumes of your account, which sandboxes come and go on. */
import type { ApiClient } from "../api-client.ts";
import type { RequestOptions } from "../configuration.ts";
import { mountPath, volumeName, volumeSize } from "../models/volume-config.ts";
import { volumeInfo, type VolumeInfo } from "../volumes/volume-info.ts";
import { list, matching, object, oneOf, optional, requestOf, ruled } from "../wire/shape.ts";

const VOLUMES = "/api/v1/volumes";
const volumePath = (volume: string): string => `${VOLUMES}/${encodeURIComponent(volume)}`;

/** Where an nfs volume is. */
export interface NfsOptions {
  /** A host name or an address. */
  server: string;
  path: string;
  /** Such as "vers=4,soft". */
  mountOptions?: string | undefined;
}

export interface VolumeRequest {
  name: string;
  /** "local" by default. */
  driver?: "local" | "nfs" | undefined;
  /** Such as "10g"; refused where the driver cannot hold anyone to it. */
  size?: string | undefined;
  /** Where it is mounted when a mount names no path. */
  mountPath?: string | undefined;
  /** Of driver nfs, which needs them. */
  options?: NfsOptions | undefined;
}

const volumeRequest = ruled(
  object<VolumeRequest>({
    name: volumeName,
    driver: optional(oneOf("local", "nfs")),
    size: optional(volumeSize),
    mountPath: optional(mountPath),
    options: optional(
      object<NfsOptions>({
        server: matching(/^[A-Za-z0-9.:-]{1,253}$/, "a host name or an address"),
        path: matching(/^\/[^\0,]{0,1000}$/, "an absolute path without commas"),
        mountOptions: optional(matching(/^[a-z0-9=,._-]{1,256}$/, "options such as vers=4,soft")),
      }),
    ),
  }),
  ({ driver, options }) =>
    (driver === "nfs") === (options !== undefined)
      ? undefined
      : ["options", "belongs to driver nfs, which needs its server and path"],
);
const volumePage = object({ items: list(volumeInfo) });

export class Volumes {
  readonly #api: ApiClient;

  constructor(api: ApiClient) {
    this.#api = api;
  }

  async create(request: VolumeRequest, options: RequestOptions = {}): Promise<VolumeInfo> {
    const json = requestOf(volumeRequest, request);
    return this.#api.json("POST", VOLUMES, { ...options, json, answer: volumeInfo });
  }

  async list(options: RequestOptions = {}): Promise<VolumeInfo[]> {
    return (await this.#api.json("GET", VOLUMES, { ...options, answer: volumePage })).items;
  }

  /** By name or id. Throws `volume_not_found`. */
  async get(volume: string, options: RequestOptions = {}): Promise<VolumeInfo> {
    return this.#api.json("GET", volumePath(volume), { ...options, answer: volumeInfo });
  }

  /** With its files. `false` when there was none; `volume_in_use` while sandboxes mount it. */
  delete(volume: string, options: RequestOptions = {}): Promise<boolean> {
    return this.#api.remove(volumePath(volume), "volume_not_found", options);
  }
}
