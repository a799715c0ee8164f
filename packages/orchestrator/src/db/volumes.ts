import { InsienError, LIMITS, type SandboxId } from "@insien/protocol";
import { and, asc, eq, isNull, or, sql, type SQL } from "drizzle-orm";
import type { Connection, Statements } from "./connection.ts";
import { admitted, type Admission } from "./quotas.ts";
import { withoutNulls, type Absent } from "./records.ts";
import { sandboxMounts, volumes } from "./schema/volumes.ts";

export type VolumeRecord = Absent<typeof volumes.$inferSelect>;
export type MountRecord = typeof sandboxMounts.$inferSelect;
export interface MountedVolume {
  volume: VolumeRecord;
  mountPath: string;
  readOnly: boolean;
}

type NewMount = Omit<MountRecord, "volumeId">;

export interface VolumeRows {
  /**
   * Stores a new volume, a local one with its mount. Throws `volume_exists`, `limit_reached`, or what
   * `admit` throws, which sees the owner's usage while no other create of the owner's can change it.
   */
  insert(volume: VolumeRecord, admit: Admission | undefined, mount?: NewMount): Promise<void>;
  /** A network volume of the owner's by its id or name; deleted ones are not found. */
  find(ownerId: string, nameOrId: string): Promise<VolumeRecord | undefined>;
  /** Network volumes of an owner, the newest first. */
  list(ownerId: string): Promise<VolumeRecord[]>;
  mountsOf(volumeIds: readonly string[]): Promise<MountRecord[]>;
  /** What a sandbox mounts, by path. */
  ofSandbox(sandboxId: SandboxId): Promise<MountedVolume[]>;
  /**
   * Notes that a sandbox mounts a volume; from then on the volume cannot be deleted. Throws
   * `volume_not_found` for one that is deleted by now, and `conflict` where the path is taken.
   */
  mount(mount: MountRecord): Promise<void>;
  /** `false` when it was not mounted. */
  unmount(sandboxId: SandboxId, volumeId: string): Promise<boolean>;
  /** Marks a volume as deleted, unless sandboxes that are not ended mount it: these are given. */
  markDeleted(volumeId: string, at: Date): Promise<SandboxId[]>;
  /** Marks a volume as deleted that could not be made, whoever was to mount it. */
  discard(volumeId: string, at: Date): Promise<void>;
  /**
   * Forgets the mounts of a sandbox that ended, and marks its local volumes as deleted. `false` when
   * there were none.
   */
  release(sandboxId: SandboxId, at: Date): Promise<boolean>;
  /** Volumes whose storage is to be removed on a node: deleted ones, and local ones whose sandbox ended. */
  removable(nodeId: string, sandboxId?: SandboxId): Promise<VolumeRecord[]>;
  /** Forgets a volume whose storage is gone. */
  remove(volumeId: string): Promise<boolean>;
  /** Of these ids, those that have a row, whatever its state. */
  known(volumeIds: readonly string[]): Promise<Set<string>>;
}

export function volumeRows(connection: Connection): VolumeRows {
  return { ...readers(connection), ...mounting(connection), ...removal(connection) };
}

const PRESENT = isNull(volumes.deletedAt);
/** Sandboxes that are over use nothing, though their mounts may be forgotten a moment later. */
const OVER = sql`('destroyed', 'failed')`;

function readers(connection: Connection) {
  const { drizzle, read } = connection;
  const select = async (where: SQL | undefined) => {
    const rows = await read(() =>
      drizzle
        .select()
        .from(volumes)
        .where(where)
        .orderBy(sql`${volumes.createdAt} desc`),
    );
    return rows.map(withoutNulls);
  };
  const network = (ownerId: string) =>
    and(eq(volumes.ownerId, ownerId), eq(volumes.type, "network"), PRESENT);
  return {
    find: async (ownerId, nameOrId) => {
      const named = or(eq(volumes.id, nameOrId), eq(volumes.name, nameOrId));
      const found = await select(and(network(ownerId), named));
      return found.find(({ id }) => id === nameOrId) ?? found[0];
    },
    list: (ownerId) => select(network(ownerId)),
    mountsOf: async (volumeIds) =>
      volumeIds.length === 0
        ? []
        : read(() =>
            drizzle
              .select()
              .from(sandboxMounts)
              .where(sql`${sandboxMounts.volumeId} = any(${sql.param(volumeIds)})`),
          ),
    ofSandbox: async (sandboxId) => {
      const rows = await read(() =>
        drizzle
          .select({
            volume: volumes,
            mountPath: sandboxMounts.mountPath,
            readOnly: sandboxMounts.readOnly,
          })
          .from(sandboxMounts)
          .innerJoin(volumes, eq(volumes.id, sandboxMounts.volumeId))
          .where(eq(sandboxMounts.sandboxId, sandboxId))
          .orderBy(asc(sandboxMounts.mountPath)),
      );
      return rows.map((row) => ({ ...row, volume: withoutNulls(row.volume) }));
    },
    removable: (nodeId, sandboxId) =>
      select(
        and(
          // Storage of an nfs volume is a name for it on each host; whoever removes it first forgets it.
          or(eq(volumes.nodeId, nodeId), isNull(volumes.nodeId)),
          sandboxId === undefined ? undefined : eq(volumes.sandboxId, sandboxId),
          sql`(${volumes.deletedAt} is not null or (${volumes.type} = 'local' and not exists (
            select from sandboxes where sandboxes.id = ${volumes.sandboxId}
              and sandboxes.state not in ${OVER})))`,
        ),
      ),
    known: async (volumeIds) => {
      if (volumeIds.length === 0) return new Set();
      const rows = await read(() =>
        drizzle
          .select({ id: volumes.id })
          .from(volumes)
          .where(sql`${volumes.id} = any(${sql.param(volumeIds)})`),
      );
      return new Set(rows.map(({ id }) => id));
    },
  } satisfies Partial<VolumeRows>;
}

function mounting(connection: Connection) {
  const { drizzle, write } = connection;
  return {
    insert: async (volume, admit, mount) => {
      const work = async (statements: Statements) => {
        await assertRoom(statements, volume.ownerId);
        await statements.insert(volumes).values(volume);
        if (mount !== undefined)
          await statements.insert(sandboxMounts).values({ ...mount, volumeId: volume.id });
      };
      await admitted(connection, volume.ownerId, admit ?? (() => undefined), work).catch(
        (error: unknown) => {
          if (constraintOf(error) !== undefined)
            throw new InsienError("volume_exists", `There is a volume ${volume.name} already`, {
              cause: error,
            });
          throw error;
        },
      );
    },
    mount: async (mount) => {
      const { sandboxId, volumeId, mountPath } = mount;
      const work = () =>
        drizzle.transaction(async (transaction) => {
          await lockPresent(transaction, volumeId);
          await transaction.insert(sandboxMounts).values(mount);
        });
      await write(work).catch((error: unknown) => {
        if (constraintOf(error) === undefined) throw error;
        const what = `Sandbox ${sandboxId} mounts this volume, or something else at ${mountPath}, already`;
        throw new InsienError("conflict", what, { cause: error });
      });
    },
    unmount: async (sandboxId, volumeId) => {
      const removed = await write(() =>
        drizzle
          .delete(sandboxMounts)
          .where(and(eq(sandboxMounts.sandboxId, sandboxId), eq(sandboxMounts.volumeId, volumeId))),
      );
      return (removed.rowCount ?? 0) > 0;
    },
  } satisfies Partial<VolumeRows>;
}

function removal({ drizzle, write }: Connection) {
  return {
    markDeleted: (volumeId, at) =>
      write(() =>
        drizzle.transaction(async (transaction) => {
          // Mounts take the same lock, so that none comes between the question and the mark.
          await lockPresent(transaction, volumeId);
          await transaction.execute(sql`
            delete from sandbox_mounts using sandboxes
            where sandbox_mounts.volume_id = ${volumeId}
              and sandboxes.id = sandbox_mounts.sandbox_id and sandboxes.state in ${OVER}`);
          const users = await transaction
            .select({ sandboxId: sandboxMounts.sandboxId })
            .from(sandboxMounts)
            .where(eq(sandboxMounts.volumeId, volumeId));
          if (users.length === 0)
            await transaction
              .update(volumes)
              .set({ deletedAt: at })
              .where(eq(volumes.id, volumeId));
          return users.map(({ sandboxId }) => sandboxId);
        }),
      ),
    discard: async (volumeId, at) => {
      await write(() =>
        drizzle.transaction(async (transaction) => {
          await transaction.delete(sandboxMounts).where(eq(sandboxMounts.volumeId, volumeId));
          await transaction.update(volumes).set({ deletedAt: at }).where(eq(volumes.id, volumeId));
        }),
      );
    },
    release: async (sandboxId, at) => {
      const released = await write(() =>
        drizzle.execute(sql`
          with forgotten as (
            delete from sandbox_mounts where sandbox_id = ${sandboxId} returning 1
          ), marked as (
            update volumes set deleted_at = ${at}
            where sandbox_id = ${sandboxId} and type = 'local' and deleted_at is null returning 1
          )
          select 1 from forgotten union all select 1 from marked`),
      );
      return released.rows.length > 0;
    },
    remove: async (volumeId) => {
      const removed = await write(() =>
        drizzle.transaction(async (transaction) => {
          await transaction.delete(sandboxMounts).where(eq(sandboxMounts.volumeId, volumeId));
          return transaction.delete(volumes).where(eq(volumes.id, volumeId));
        }),
      );
      return (removed.rowCount ?? 0) > 0;
    },
  } satisfies Partial<VolumeRows>;
}

/** Until the transaction ends, the volume is neither mounted nor deleted by another one. */
async function lockPresent(statements: Statements, volumeId: string): Promise<void> {
  const rows = await statements
    .select({ id: volumes.id })
    .from(volumes)
    .where(and(eq(volumes.id, volumeId), PRESENT))
    .for("update");
  if (rows.length === 0)
    throw new InsienError(
      "volume_not_found",
      `There is no volume ${volumeId}; it may have been deleted`,
    );
}

async function assertRoom(statements: Statements, ownerId: string): Promise<void> {
  const [row] = await statements
    .select({ count: sql<number>`count(*)::integer` })
    .from(volumes)
    .where(and(eq(volumes.ownerId, ownerId), PRESENT));
  const most = LIMITS.volumesPerOwner.value;
  if ((row?.count ?? 0) >= most)
    throw new InsienError(
      "limit_reached",
      `There are ${most} volumes already, as many as one owner may have: delete some`,
    );
}

const UNIQUE_VIOLATION = "23505";

/** The unique constraint that a statement ran into. */
function constraintOf(error: unknown): string | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if ("code" in cause && cause.code === UNIQUE_VIOLATION)
      return "constraint" in cause ? String(cause.constraint) : "";
  }
  return undefined;
}
