/** Files of one volume of a sandbox; paths are inside the volume and cannot leave it. */
import type { ApiClient } from "../api-client.ts";
import type { RequestOptions } from "../configuration.ts";
import { sandboxPath } from "../sandbox-api.ts";
import type { HttpBody } from "../platform/platform.ts";
import { sendBytes } from "../wire/byte-transfer.ts";
import {
  anything,
  list,
  number,
  object,
  oneOf,
  optional,
  text,
  type ValueOf,
} from "../wire/shape.ts";

/** Which volume of which sandbox, and where in it. */
export interface VolumePlace {
  id: string;
  /** A volume's id or name. */
  volume: string;
  path: string;
}

const fileInfo = object({
  path: text,
  name: text,
  type: oneOf("file", "directory", "symlink", "other"),
  size: number(),
  /** Permission bits, e.g. 0o644. */
  mode: number(),
  uid: number(),
  gid: number(),
  modifiedAt: text,
  /** Where a symbolic link points, as written in it. */
  target: optional(text),
});
export type VolumeFile = ValueOf<typeof fileInfo>;
const filePage = object({ items: list(fileInfo) });

const within = ({ id, volume }: VolumePlace, what: "files" | "directories"): string =>
  sandboxPath(id, `/volumes/${encodeURIComponent(volume)}/${what}`);

export async function listVolumeDirectory(
  api: ApiClient,
  place: VolumePlace,
  options: RequestOptions,
): Promise<VolumeFile[]> {
  const call = { ...options, query: { path: place.path }, answer: filePage };
  return (await api.json("GET", within(place, "directories"), call)).items;
}

export async function makeVolumeDirectory(
  api: ApiClient,
  place: VolumePlace,
  options: RequestOptions,
): Promise<void> {
  const call = { ...options, query: { path: place.path }, answer: anything };
  await api.json("POST", within(place, "directories"), call);
}

/** The file as it arrives, with a time limit for its beginning. */
export async function readVolumeFile(api: ApiClient, place: VolumePlace, options: RequestOptions) {
  return api.open("GET", within(place, "files"), { ...options, query: { path: place.path } });
}

/** Replaces or makes the file. Only its own `requestTimeoutMs` bounds it. */
export async function writeVolumeFile(
  api: ApiClient,
  place: VolumePlace,
  content: HttpBody,
  options: RequestOptions,
): Promise<void> {
  await sendBytes(api, within(place, "files"), content, {
    ...options,
    query: { path: place.path },
  });
}
