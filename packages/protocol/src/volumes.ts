/** Volumes: storage that outlives a machine, of one sandbox or shared by several. */
import { z } from "zod";
import { LIMITS } from "./limits.ts";
import { sizeText } from "./memory-size.ts";

export const volumeName = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9_.-]{0,62}$/,
    "must be lower-case letters, digits, '_', '.' and '-', at most 63",
  );

/** Without them a machine does not start, or is not the one that its agent expects. */
const SYSTEM_DIRECTORIES: ReadonlySet<string> = new Set([
  ...["proc", "sys", "dev", "insien"],
  ...["etc", "bin", "sbin", "lib", "lib64", "usr"],
]);

export const mountPath = z
  .string()
  .max(LIMITS.pathBytes.value)
  .regex(/^\/[^\0]+$/, "must be an absolute path")
  .refine((path) => {
    const names = path.split("/").filter((name) => name !== "" && name !== ".");
    return !names.includes("..") && names[0] !== undefined && !SYSTEM_DIRECTORIES.has(names[0]);
  }, "must lie outside the system's own directories, without '..'");

export const volumeSize = sizeText("1m", "16t");

/** One entry of `volumes` when a sandbox is created; its key is the volume's name. */
export const volumeConfig = z
  .strictObject({
    mount_path: mountPath,
    /**
     * `local`, by default: made with the sandbox and destroyed with it; `network`: one that exists,
     * shared.
     */
    type: z.enum(["local", "network"]).optional(),
    read_only: z.boolean().optional(),
    /** Of a `local` one. */
    size: volumeSize.optional(),
  })
  .refine(({ type, size }) => type !== "network" || size === undefined, {
    path: ["size"],
    error: "is for local volumes: a network volume got its own when it was made",
  });
export type VolumeConfig = z.infer<typeof volumeConfig>;

export const volumeConfigs = z
  .record(volumeName, volumeConfig)
  .refine(
    (volumes) => Object.keys(volumes).length <= LIMITS.volumesPerSandbox.value,
    `must be at most ${LIMITS.volumesPerSandbox.value}`,
  )
  .refine((volumes) => {
    const paths = Object.values(volumes).map(({ mount_path: path }) => path.replace(/\/+$/, ""));
    return new Set(paths).size === paths.length;
  }, "names a mount path twice");

export const VOLUME_DRIVERS = ["local", "nfs"] as const;

const OTHER_MOUNTS = /^(?:r?bind|move|remount|r?(?:shared|slave|private|unbindable))$/;

export const createVolumeBody = z
  .strictObject({
    name: volumeName,
    driver: z.enum(VOLUME_DRIVERS).optional(),
    size: volumeSize.optional(),
    /** Where it is mounted when a mount names no path. */
    mount_path: mountPath.optional(),
    /** Of driver nfs: `server` (host name or address), `path`, and `mount_options` such as `vers=4`. */
    options: z
      .strictObject({
        server: z.string().regex(/^[A-Za-z0-9.:-]{1,253}$/, "must be a host name or an address"),
        path: z.string().regex(/^\/[^\0,]{0,1000}$/, "must be an absolute path without commas"),
        mount_options: z
          .string()
          .regex(/^[a-z0-9=,._-]{1,256}$/, "must be options such as vers=4,soft")
          // Where to is the server's name alone to say: it may be the only one that is allowed.
          .refine((options) => !/addr=/.test(options), "may not name addresses")
          // These are no options of nfs: they make another kind of mount of it.
          .refine(
            (options) => !options.split(",").some((option) => OTHER_MOUNTS.test(option)),
            "may not have bind, move, remount or a propagation",
          )
          .optional(),
      })
      .optional(),
  })
  .refine((body) => (body.driver === "nfs") === (body.options !== undefined), {
    path: ["options"],
    error: "belongs to driver nfs, which needs options.server and options.path",
  });
export type CreateVolumeBody = z.infer<typeof createVolumeBody>;

export const volumeView = z.object({
  id: z.string(),
  name: z.string(),
  /** `local`: of one sandbox alone; `network`: shared. */
  type: z.enum(["local", "network"]),
  driver: z.enum(VOLUME_DRIVERS),
  size: z.string().optional(),
  mount_path: z.string().optional(),
  /** The host that holds it; absent for nfs, which every host reaches. */
  node_id: z.string().optional(),
  created_at: z.string(),
  mounts: z.array(
    z.object({ sandbox_id: z.string(), mount_path: z.string(), read_only: z.boolean() }),
  ),
});
export type VolumeView = z.infer<typeof volumeView>;
export const volumeList = z.object({ items: z.array(volumeView) });

/** A volume's name or id. */
export const volumeParam = z.object({ volume: z.string().min(1).max(128) });

export const mountBody = z.strictObject({
  /** A volume's name or id. */
  volume: z.string().min(1).max(128),
  mount_path: mountPath.optional(),
  read_only: z.boolean().optional(),
});
export type MountBody = z.infer<typeof mountBody>;

export const mountView = z.object({
  volume_id: z.string(),
  name: z.string(),
  type: z.enum(["local", "network"]),
  mount_path: z.string(),
  read_only: z.boolean(),
});
export type MountView = z.infer<typeof mountView>;
export const mountList = z.object({ items: z.array(mountView) });

export const mountAnswer = z.object({
  items: z.array(mountView),
  /** `true` when the machine was made anew: files are kept, programs were ended. */
  restarted: z.boolean(),
  /** What that means, in a sentence. */
  note: z.string(),
});
export type MountAnswer = z.infer<typeof mountAnswer>;
