/** `sandbox.volumes`: what is mounted in a sandbox. */
import { CLIENT_LIMITS as LIMITS } from "@insien/protocol/client-limits";
import type { ApiClient } from "../api-client.ts";
import type { RequestOptions } from "../configuration.ts";
import { mountPath } from "../models/volume-config.ts";
import { sandboxPath } from "../sandbox-api.ts";
import type { SessionSource } from "../session.ts";
import { boolean, list, object, optional, requestOf, text } from "../wire/shape.ts";
import { mountChange, volumeMount, type MountChange, type VolumeMount } from "./volume-info.ts";

interface MountRequest {
  /** A volume's name or id. */
  volume: string;
  /** The volume's own by default. */
  mountPath?: string | undefined;
  readOnly?: boolean | undefined;
}
export interface MountOptions extends RequestOptions, Omit<MountRequest, "volume"> {}

const mountRequest = object<MountRequest>({
  volume: text,
  mountPath: optional(mountPath),
  readOnly: optional(boolean),
});
const mountPage = object({ items: list(volumeMount) });

/** A mount may need a new machine, which takes its time. */
const timeLimit = (options: RequestOptions) => ({
  signal: options.signal,
  requestTimeoutMs: options.requestTimeoutMs ?? LIMITS.createMs.value,
});

export async function mountVolume(
  api: ApiClient,
  id: string,
  request: MountRequest,
  options: RequestOptions,
): Promise<MountChange> {
  const json = requestOf(mountRequest, request);
  const call = { ...timeLimit(options), json, answer: mountChange };
  return api.json("POST", sandboxPath(id, "/volumes"), call);
}

export async function unmountVolume(
  api: ApiClient,
  id: string,
  volume: string,
  options: RequestOptions,
): Promise<MountChange> {
  const path = sandboxPath(id, `/volumes/${encodeURIComponent(volume)}`);
  return api.json("DELETE", path, { ...timeLimit(options), answer: mountChange });
}

export class SandboxVolumes {
  readonly #session: SessionSource;

  constructor(session: SessionSource) {
    this.#session = session;
  }

  async list(options: RequestOptions = {}): Promise<VolumeMount[]> {
    const { api, id } = await this.#session(options);
    const call = { ...options, answer: mountPage };
    return (await api.json("GET", sandboxPath(id, "/volumes"), call)).items;
  }

  /**
   * Mounts a volume, by name or id. `restarted` of the answer says whether that took a new machine:
   * files are kept then, programs are not.
   */
  async mount(volume: string, options: MountOptions = {}): Promise<MountChange> {
    const { api, id } = await this.#session(options);
    const { mountPath: path, readOnly } = options;
    return mountVolume(api, id, { volume, mountPath: path, readOnly }, options);
  }

  /** The volume and its files stay. Throws `volume_not_found` when it is not mounted. */
  async unmount(volume: string, options: RequestOptions = {}): Promise<MountChange> {
    const { api, id } = await this.#session(options);
    return unmountVolume(api, id, volume, options);
  }
}
