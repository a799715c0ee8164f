/** A Debian image without any registry: made by mmdebstrap from Debian's archive, imported as it streams. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { InsienError } from "@insien/protocol";
import { jsonLines, type Engine } from "./engine.ts";
import type { ImageCallOptions } from "./image-store.ts";

const SUITE = "bookworm";
/** What the official slim image leaves out too. */
const LEFT_OUT = [
  "/usr/share/doc/*",
  "/usr/share/man/*",
  "/usr/share/locale/*",
  "/usr/share/info/*",
];
const CHANGES = [
  'CMD ["bash"]',
  "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
];
const LAST_WORDS_CHARACTERS = 2_000;

/** Throws `image_unavailable` with what to install or what mmdebstrap said. */
export async function bootstrapDebian(
  engine: Engine,
  reference: string,
  options: ImageCallOptions = {},
): Promise<void> {
  const args = [
    "--variant=minbase",
    "--include=ca-certificates",
    ...LEFT_OUT.map((path) => `--dpkgopt=path-exclude=${path}`),
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    SUITE,
    "-",
  ];
  const child = spawn("mmdebstrap", args, {
    stdio: ["ignore", "pipe", "pipe"],
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  let words = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    words = (words + text).slice(-LAST_WORDS_CHARACTERS);
    options.onProgress?.({ step: "bootstrap", message: text.trim() });
  });
  // Listened to before anything is awaited: a spawn that fails says so in the next tick.
  const ended = once(child, "close") as Promise<[number | null]>;
  const started = once(child, "spawn");
  await started.catch((cause: unknown) => {
    ended.catch(() => undefined);
    const message = `mmdebstrap does not run here: apt-get install mmdebstrap`;
    throw new InsienError("image_unavailable", message, { cause });
  });
  const [repo = reference, tag = "latest"] = reference.split(":");
  const importing = engine.docker
    .importImage(child.stdout, { repo, tag, changes: CHANGES.join("\n") })
    .then(async (stream) => await Array.fromAsync(jsonLines(stream)));
  const [[code], imported] = await Promise.all([ended, importing]);
  if (code !== 0) {
    const message = `mmdebstrap failed with ${code}: ${words.trim()}`;
    throw new InsienError("image_unavailable", message);
  }
  const failure = imported.find((line) => "error" in (line as object));
  if (failure !== undefined) {
    const message = `importing ${reference} failed: ${JSON.stringify(failure)}`;
    throw new InsienError("image_unavailable", message);
  }
}
