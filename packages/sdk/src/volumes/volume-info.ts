/** Volumes as the server tells of them. */
import { boolean, date, list, object, oneOf, optional, text, type ValueOf } from "../wire/shape.ts";

export const volumeInfo = object({
  id: text,
  name: text,
  /** `local`: of one sandbox alone; `network`: shared. */
  type: oneOf("local", "network"),
  driver: oneOf("local", "nfs"),
  size: optional(text),
  /** Where it is mounted when a mount names no path. */
  mountPath: optional(text),
  /** The host that holds it; absent for nfs, which every host reaches. */
  nodeId: optional(text),
  createdAt: date,
  mounts: list(object({ sandboxId: text, mountPath: text, readOnly: boolean })),
});
export type VolumeInfo = ValueOf<typeof volumeInfo>;

export const volumeMount = object({
  volumeId: text,
  name: text,
  type: oneOf("local", "network"),
  mountPath: text,
  readOnly: boolean,
});
export type VolumeMount = ValueOf<typeof volumeMount>;

export const mountChange = object({
  items: list(volumeMount),
  /** `true` when the machine was made anew: files are kept, programs were ended. */
  restarted: boolean,
  /** What that means, in a sentence. */
  note: text,
});
export type MountChange = ValueOf<typeof mountChange>;
