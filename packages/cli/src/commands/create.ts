import { Sandbox, type CreateProgress, type SandboxInfo, type VolumeConfig } from "@insien/sandbox";
import { type Command, Option } from "commander";
import { readBuildContext } from "../build-context.ts";
import type { ServerAddress } from "../connection.ts";
import { serverOf } from "../context.ts";
import { type OutputFlags, print } from "../output/print.ts";
import { harmless } from "../output/harmless.ts";
import { Progress } from "../output/progress.ts";
import { UsageError } from "../usage-error.ts";
import {
  collect,
  collectPair,
  collectVariable,
  commandWords,
  numberOf,
  portOf,
  type PortText,
  secondsOf,
} from "../values.ts";

interface Flags extends OutputFlags {
  name?: string;
  image?: string;
  template?: string;
  build?: string;
  forceBuild?: boolean;
  cpu?: number;
  memory?: string;
  pids?: number;
  gpus?: string;
  env?: Record<string, string>;
  label?: Record<string, string>;
  publish?: PortText[];
  public?: boolean;
  volume?: string[];
  network?: "none" | "internet";
  readOnly?: boolean;
  entrypoint?: string;
  maxRetries?: number;
  ttl?: number;
  idle?: number;
  quiet?: boolean;
}

export function addCreate(program: Command): void {
  program
    .command("create")
    .alias("run")
    .description(
      "Create a sandbox and wait until it runs; a command after it becomes its main command",
    )
    .argument("[command...]", "the main command, such as `python app.py`")
    .option("-n, --name <name>", "a name to call it by")
    .option("-i, --image <image>", "any container image instead of a template")
    .option("--template <template>", "`base` by default")
    .option(
      "--build <directory>",
      "build an image from a directory with a Dockerfile; .dockerignore holds",
    )
    .option("--force-build", "build every step anew")
    .option("--cpu <cores>", "such as 0.5 or 2", numberOf)
    .option("-m, --memory <size>", "such as 512m or 2g")
    .option("--pids <count>", "processes and threads at most", numberOf)
    .option("--gpus <which>", "all, a number of them, or ids")
    .option("-e, --env <name=value>", "a variable, repeatable", collectVariable)
    .option("-l, --label <name=value>", "metadata, repeatable", collectPair)
    .option(
      "-p, --publish <port>",
      "8080, 9000:8080 (host first), 9000:5432/tcp; repeatable",
      (text: string, ports?: PortText[]) => collect(portOf(text), ports),
    )
    .option("--public", "published ports need neither key nor link")
    .option(
      "-v, --volume <volume:path>",
      "mount a volume, `name:/path[:ro]`; /path alone makes one; repeatable",
      (text: string, volumes?: string[]) => collect(text, volumes),
    )
    .addOption(new Option("--network <mode>", "what it reaches").choices(["none", "internet"]))
    .option("--read-only", "nothing but /tmp, the home and volumes can be written")
    .option("--entrypoint <line>", "what the main command begins with")
    .option("--max-retries <count>", "start the main command again when it fails", numberOf)
    .option("--ttl <time>", "destroy it after this long, such as 2h", secondsOf)
    .option("--idle <time>", "destroy it when unused for this long; 0: never", secondsOf)
    .option("-q, --quiet", "the id alone")
    .option("--json", "as JSON")
    .passThroughOptions()
    .action(async (words: string[], flags: Flags, command: Command) => {
      const server = await serverOf(command);
      if (flags.name !== undefined) await refuseTakenName(server, flags.name);
      using progress = new Progress();
      const sandbox = await Sandbox.create({
        ...server,
        ...(await settingsOf(commandWords(words), flags)),
        onProgress: (step) => show(progress, step),
      });
      const info = await sandbox.info();
      sandbox.disconnect();
      progress.done();
      if (flags.quiet === true || !process.stdout.isTTY) print(flags, info, info.id);
      else
        print(
          flags,
          info,
          `${info.id}  is ${info.state}. Try: insien ${nextStep(info, words, flags)}`,
        );
      if (info.main?.state === "failed")
        process.stderr.write(
          `Its main command failed. What it said: insien logs ${info.name ?? info.id}\n`,
        );
    });
}

/** What whoever made such a sandbox most likely wants of it. */
function nextStep(
  { id, name = id }: SandboxInfo,
  words: readonly string[],
  { publish = [], entrypoint }: Flags,
): string {
  const [port] = publish;
  if (port !== undefined && port.protocol !== "tcp") return `ports link ${name} ${port.internal}`;
  return words.length > 0 || entrypoint !== undefined ? `logs -f ${name}` : `shell ${name}`;
}

/** Two of one name could only be meant by their ids. */
async function refuseTakenName(server: ServerAddress, name: string): Promise<void> {
  for await (const sandbox of Sandbox.list(server)) {
    if (sandbox.name !== name) continue;
    throw new UsageError(
      `There is a sandbox ${name} already: ${sandbox.id}, which is ${sandbox.state}.`,
      `Choose another name, or remove it first: insien rm ${name}`,
    );
  }
}

async function settingsOf(words: string[], flags: Flags) {
  const { cpu, memory, pids, gpus, maxRetries } = flags;
  const resources = Object.fromEntries(
    Object.entries({ cpu, memory, pids, gpu: gpus, maxRetries }).filter(
      ([, value]) => value !== undefined,
    ),
  );
  return {
    name: flags.name,
    image: flags.image,
    template: flags.template,
    buildContext: flags.build === undefined ? undefined : await readBuildContext(flags.build),
    forceBuild: flags.forceBuild,
    resources: Object.keys(resources).length === 0 ? undefined : resources,
    env: flags.env,
    metadata: flags.label,
    ports: flags.publish?.map((port) => ({
      ...port,
      ...(flags.public === true ? { public: true } : {}),
    })),
    volumes:
      flags.volume === undefined ? undefined : Object.fromEntries(flags.volume.map(volumeOf)),
    network: flags.network,
    readOnly: flags.readOnly,
    entrypoint: flags.entrypoint,
    command: words.length === 0 ? undefined : words,
    ttlSeconds: flags.ttl,
    idleTimeoutSeconds: flags.idle,
  };
}

/** `data:/data`, `data:/data:ro`: a volume there is; `/data`: one of the sandbox's own. */
function volumeOf(text: string, index: number): [string, VolumeConfig] {
  const [, name, path, mode] = /^(?:([^:/][^:]*):)?(\/[^:]*)(?::(ro|rw))?$/.exec(text) ?? [];
  if (path === undefined)
    throw new UsageError(
      `'${text}' is no volume.`,
      "Write name:/path, name:/path:ro or /path. Folders of this machine are copied: insien cp.",
    );
  const config = { mountPath: path, ...(mode === "ro" ? { readOnly: true } : {}) };
  return name === undefined
    ? [`local-${index + 1}`, { ...config, type: "local" }]
    : [name, { ...config, type: "network" }];
}

/** What a build prints is worth reading; what a download does is a bar. */
function show(progress: Progress, { step, current, total, message }: CreateProgress): void {
  if (step === "build" && message !== undefined) {
    progress.done();
    process.stderr.write(`${harmless(message)}\n`);
  } else if (current !== undefined && total !== undefined) progress.bytes(step, current, total);
  else progress.step(message === undefined ? `${step} ...` : `${step}: ${message}`);
}
