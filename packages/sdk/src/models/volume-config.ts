/** One entry of a new sandbox's `volumes`; its key is the volume's name. */
import {
  boolean,
  matching,
  modelOf,
  object,
  oneOf,
  optional,
  ruled,
  size,
  withDefault,
} from "../wire/shape.ts";

export interface VolumeConfig {
  /** An absolute path in the sandbox. */
  mountPath: string;
  /** "local" (the default): made with the sandbox and destroyed with it; "network": one there is. */
  type?: "local" | "network" | undefined;
  readOnly?: boolean | undefined;
  /** Of a local one, such as "2g". */
  size?: string | undefined;
}

export const volumeName = matching(
  /^[a-z0-9][a-z0-9_.-]{0,62}$/,
  "lower-case letters, digits, '_', '.' and '-', at most 63",
);
export const mountPath = matching(
  /^(?!.*(?:^|\/)\.\.(?:\/|$))\/[^\0]+$/,
  "an absolute path without '..'",
);
export const volumeSize = size("1m", "16t");

export const volumeConfig = ruled(
  object<VolumeConfig>({
    mountPath,
    type: withDefault(oneOf("local", "network"), "local"),
    readOnly: optional(boolean),
    size: optional(volumeSize),
  }),
  ({ type, size: bytes }) =>
    type === "network" && bytes !== undefined
      ? ["size", "is for local volumes: a network volume got its own when it was made"]
      : undefined,
);

/** Checks a volume and fills in its defaults. Throws `invalid_request`, naming the field. */
export const parseVolumeConfig = (value: unknown): VolumeConfig => modelOf(volumeConfig, value);
