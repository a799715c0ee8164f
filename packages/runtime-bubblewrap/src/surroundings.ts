/** What all machines of one runtime share: the host's abilities and the files made for them. */
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { newId } from "@insien/protocol";
import { examineHost, type Host } from "./host.ts";
import { inheritedDescriptors } from "./inherited-descriptors.ts";
import { seccompFilter } from "./seccomp/filter.ts";
import { etcFingerprint, prepareEtc } from "./system-files.ts";

/** Raised when machines made by this code differ from those made before. */
const GENERATION = "1";

export interface Surroundings {
  host: Host;
  /** The machines' `/etc` on the host. */
  etcDirectory: string;
  /** The seccomp filter on the host. */
  filterPath: string;
  /** Descriptors that must not reach a machine. */
  inherited: readonly number[];
  /** Of all that machines get from this host. */
  fingerprint: string;
}

export async function prepareSurroundings(
  dataDirectory: string,
  kitHash: string,
): Promise<Surroundings> {
  const host = await examineHost();
  await mkdir(dataDirectory, { recursive: true });
  const filter = seccompFilter(host.architecture);
  const filterPath = await writeFilter(dataDirectory, filter);
  const system = await readFile("/usr/lib/os-release", "utf8").catch(() => "");
  const fingerprint = createHash("sha256")
    .update([GENERATION, host.bwrapVersion, kitHash, system, await etcFingerprint()].join("\0"))
    .update(filter)
    .digest("hex")
    .slice(0, 32);
  const etcDirectory = await prepareEtc(dataDirectory);
  return { host, etcDirectory, filterPath, fingerprint, inherited: inheritedDescriptors() };
}

async function writeFilter(dataDirectory: string, filter: Buffer): Promise<string> {
  const path = join(dataDirectory, "seccomp.bpf");
  const temporary = `${path}.${newId()}`;
  await writeFile(temporary, filter, { mode: 0o600 });
  await rename(temporary, path);
  return path;
}
