import { InsienError, type SandboxId } from "@insien/protocol";
import type { SandboxRecord, SandboxRows } from "../db/index.ts";
import type { Principal } from "./principal.ts";

/** The caller's own sandbox; to everyone else, and once destroyed, it does not exist. */
export async function ownedSandbox(
  rows: Pick<SandboxRows, "get">,
  principal: Principal,
  id: SandboxId,
  options: { destroyed?: "found" } = {},
): Promise<SandboxRecord> {
  const row = await rows.get(id);
  if (row === undefined || row.ownerId !== principal.ownerId) throw sandboxNotFound(id);
  if (row.state === "destroyed" && options.destroyed !== "found") throw sandboxNotFound(id);
  return row;
}

export const sandboxNotFound = (id: SandboxId): InsienError =>
  new InsienError("sandbox_not_found", `There is no sandbox ${id}`);
