/** How volumes are written down in Docker. */
import type { VolumeMount, VolumeSpec } from "@insien/runtime";
import type Docker from "dockerode";
import { LABELS } from "./machine-labels.ts";

/** With the owner in it: names are of the whole daemon, ids only of one installation. */
export const volumeName = (ownerId: string, volumeId: string): string =>
  `insien-${ownerId}-${volumeId}`;

export const volumeLabels = (ownerId: string, volumeId: string): Record<string, string> => ({
  [LABELS.owner]: ownerId,
  [LABELS.volume]: volumeId,
});

/**
 * Of a server that went away: calls fail after a minute, instead of processes that nobody can kill.
 * The caller's options come after these, and what must hold comes last.
 */
const NFS_DEFAULTS = "soft,timeo=200,retrans=2";

/** What Docker's local driver passes to the kernel's mount. */
export function driverOptions(spec: VolumeSpec): Record<string, string> {
  if (spec.driver === "local") {
    return spec.sizeBytes === undefined ? {} : { size: String(spec.sizeBytes) };
  }
  const { server = "", path = "", mountOptions } = spec.nfs ?? {};
  const options = [NFS_DEFAULTS, mountOptions, "nosuid,nodev", `addr=${server}`];
  const o = options.filter((text) => text !== undefined).join(",");
  return { type: "nfs", o, device: `:${path}` };
}

/** As part of a container. What the image has at the target is covered and not copied. */
export function volumeMount(ownerId: string, mount: VolumeMount): Docker.MountSettings {
  const { volumeId, target, readOnly } = mount;
  return {
    Type: "volume",
    Source: volumeName(ownerId, volumeId),
    Target: target,
    ReadOnly: readOnly,
    VolumeOptions: {
      NoCopy: true,
      // Should it vanish right before the container is made, Docker makes one: then it is ours too.
      Labels: volumeLabels(ownerId, volumeId),
      DriverConfig: { Name: "local", Options: {} },
    },
  };
}
