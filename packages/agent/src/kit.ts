/**
 * The kit: all that the agent needs to run in any machine, whatever is in its image. A Node binary
 * with its own loader and libraries, the native addon for calls of the C library, and the agent bundled into one file.
 */
import { chmod, constants, copyFile, link, mkdir, rename, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { newId, MACHINE_PATHS } from "@insien/protocol";
import type { AgentKit } from "@insien/runtime";
import { bundleAgent } from "./kit/bundle.ts";
import { kitInputs, type KitInputs } from "./kit/inputs.ts";
import { librariesOf } from "./kit/libraries.ts";

export interface PrepareKitOptions {
  /** Kits live in `<directory>/kit/<hash>`. */
  directory: string;
  signal?: AbortSignal;
}

const BUNDLE = "agent.cjs";
const LIBRARIES = "lib";
/** Named as the machine's command needs it, whatever the processor calls its own. */
const LOADER = "ld-linux-x86-64.so.2";

/**
 * What keeps an idle agent small: a young generation of one mebibyte, no worker threads for the
 * compiler and the collector beyond one, and no heap that is grown ahead of need.
 */
const NODE_FLAGS = ["--max-semi-space-size=1", "--v8-pool-size=1", "--expose-gc", "--no-warnings"];

/** Makes the kit unless it is there; several processes may do so at once. */
export async function prepareKit({ directory, signal }: PrepareKitOptions): Promise<AgentKit> {
  const inputs = await kitInputs();
  signal?.throwIfAborted();
  const kits = join(directory, "kit");
  const target = join(kits, inputs.hash);
  if (!(await exists(target))) await makeKit(inputs, kits, target);
  signal?.throwIfAborted();
  const { kit } = MACHINE_PATHS;
  return {
    directory: target,
    command: [
      `${kit}/${LOADER}`,
      "--library-path",
      `${kit}/${LIBRARIES}`,
      `${kit}/node`,
      ...NODE_FLAGS,
      `${kit}/${BUNDLE}`,
    ],
    environment: {},
    hash: inputs.hash,
  };
}

async function makeKit(inputs: KitInputs, kits: string, target: string): Promise<void> {
  const temporary = join(kits, `.${newId()}`);
  await mkdir(join(temporary, LIBRARIES), { recursive: true });
  try {
    const files = [inputs.node, ...Object.values(inputs.addons)];
    const { loader, libraries } = await librariesOf(files);
    await linkOrCopy(inputs.node, join(temporary, "node"), 0o755);
    await copy(loader, join(temporary, LOADER), 0o755);
    for (const library of libraries) {
      await copy(library, join(temporary, LIBRARIES, basename(library)), 0o644);
    }
    for (const [name, path] of Object.entries(inputs.addons)) {
      await copy(path, join(temporary, name), 0o644);
    }
    await bundleAgent(join(temporary, BUNDLE));
    for (const path of [temporary, join(temporary, LIBRARIES)]) await chmod(path, 0o755);
    await chmod(join(temporary, BUNDLE), 0o644);
    await putInPlace(temporary, target);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/** When another process was faster its kit is as good as ours. */
async function putInPlace(temporary: string, target: string): Promise<void> {
  try {
    await rename(temporary, target);
  } catch (error) {
    if (!(await exists(target))) throw error;
  }
}

async function copy(from: string, to: string, mode: number): Promise<void> {
  await copyFile(from, to, constants.COPYFILE_FICLONE);
  await chmod(to, mode);
}

/** A hard link where it can be: then all agents and the orchestrator share the binary's memory. */
async function linkOrCopy(from: string, to: string, mode: number): Promise<void> {
  try {
    const { mode: present } = await stat(from);
    if ((present & 0o555) !== 0o555) throw new Error("not for everyone to execute");
    await link(from, to);
  } catch {
    await copy(from, to, mode);
  }
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
