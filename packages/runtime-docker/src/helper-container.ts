/**
 * A container in which nothing ever runs. The Engine mounts the volumes of a container that is not
 * started when files are put into it or taken out, and so they can be tried and prepared with no
 * program of anybody's.
 */
import { Readable } from "node:stream";
import { newId } from "@insien/protocol";
import type Docker from "dockerode";
import { isNotFound, jsonLines, type Engine } from "./engine.ts";
import { LABELS } from "./machine-labels.ts";
import { tarArchive, type TarEntry } from "./tar-archive.ts";

const EMPTY_IMAGE = "insien-empty:1";

export interface HelperOptions {
  ownerId: string;
  /** What it helps, for its label. */
  subject: string;
  mounts?: Docker.MountSettings[];
  /** An image to look into; an empty one by default. */
  image?: string;
}

/** Makes a container that is never started, and removes it after `use`. */
export async function withHelper<Answer>(
  engine: Engine,
  options: HelperOptions,
  use: (container: Docker.Container) => Promise<Answer>,
): Promise<Answer> {
  const { ownerId, subject, mounts = [], image } = options;
  const container = await engine.docker.createContainer({
    name: `insien-helper-${newId()}`,
    Image: image ?? (await emptyImage(engine)),
    Entrypoint: ["/nothing"],
    Labels: { [LABELS.owner]: ownerId, [LABELS.helper]: subject },
    HostConfig: { NetworkMode: "none", Mounts: mounts },
  });
  try {
    return await use(container);
  } finally {
    await container.remove({ force: true, v: true }).catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
    });
  }
}

/** Unpacks entries below a directory of a container, which need not run. */
export async function putEntries(
  container: Docker.Container,
  directory: string,
  entries: Iterable<TarEntry>,
): Promise<void> {
  await container.putArchive(Buffer.concat([...tarArchive(entries)]), { path: directory });
}

async function emptyImage(engine: Engine): Promise<string> {
  const image = engine.docker.getImage(EMPTY_IMAGE);
  const found = await engine.ask("looking for the empty image", () => image.inspect());
  if (found !== undefined) return EMPTY_IMAGE;
  const [repo = "", tag = ""] = EMPTY_IMAGE.split(":");
  const changes = 'CMD ["/nothing"]';
  const archive = Readable.from([...tarArchive([])]);
  const importing = await engine.docker.importImage(archive, { repo, tag, changes });
  for await (const line of jsonLines(importing)) {
    if ("error" in (line as object)) throw new Error(JSON.stringify(line));
  }
  return EMPTY_IMAGE;
}
