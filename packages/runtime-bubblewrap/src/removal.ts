/** Removing trees that untrusted programs have made. */
import { InsienError } from "@insien/protocol";
import { run } from "./programs.ts";

/**
 * By `rm`, which walks by descriptors: it follows no link, and no depth is too deep for it. An
 * ordinary user may first have to make directories readable that the machine closed to itself.
 */
export async function removeTree(path: string): Promise<void> {
  const remove = () => run(["rm", "-rf", "--one-file-system", "--", path]);
  if ((await remove()).exitCode === 0) return;
  await run(["chmod", "-R", "u+rwX", "--", path]);
  const { exitCode, stderr } = await remove();
  if (exitCode === 0) return;
  throw new InsienError("internal", `The files at ${path} could not be removed: ${stderr.trim()}`);
}
