/** Images built from contexts that callers send, by the daemon's own builder. */
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { InsienError, LIMITS } from "@insien/protocol";
import type {
  AgentKit,
  BuildRequest,
  CallOptions,
  ImageBuilds,
  PreparedTemplate,
  Progress,
} from "@insien/runtime";
import { withBuildNetwork } from "./build-network.ts";
import { BuildTurns } from "./build-turns.ts";
import { followBuild } from "./build-output.ts";
import { fingerprintOf } from "./container-options.ts";
import { mustBeHarmlessTrigger, parseDockerfile, planBuild, type BuildPlan } from "./dockerfile.ts";
import { engineWords, isEngineError, untilAborted, type Engine } from "./engine.ts";
import { BASE_IMAGE, type ImageBuilder } from "./image-builder.ts";
import type { ImageStore, StoredImage } from "./image-store.ts";
import { imageKind, LABELS, reservedLabel } from "./machine-labels.ts";
import type { NetworkGuard } from "./network-guard.ts";
import { tarArchive } from "./tar-archive.ts";

interface Parts {
  engine: Engine;
  images: ImageStore;
  builder: ImageBuilder;
  guard: NetworkGuard;
  ownerId: string;
  kit: AgentKit;
}

type BuildOptions = CallOptions & { onProgress?: (progress: Progress) => void };

const REPOSITORY = "insien-build";
const HASH_LENGTH = 24;
const DOCKERFILE = "Dockerfile";
const CPU_PERIOD_MICROSECONDS = 100_000;

export class ContextBuilds implements ImageBuilds {
  readonly #parts: Parts;
  readonly #turns = new BuildTurns();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  async build(
    request: BuildRequest,
    options: BuildOptions = {},
  ): Promise<PreparedTemplate & { cached: boolean }> {
    const time = AbortSignal.timeout(LIMITS.buildMs.value);
    const signal = options.signal === undefined ? time : AbortSignal.any([options.signal, time]);
    const bounded = { ...options, signal };
    try {
      const plan = await this.#plan(request, bounded);
      const hash = hashOf(this.#parts.ownerId, plan, request);
      const reference = `${REPOSITORY}:${hash}`;
      const known = request.force ? undefined : await this.#known(reference);
      if (known !== undefined) return { ...this.#template(reference, known), cached: true };
      await this.#makeBases(plan, bounded);
      await this.#turns.run(request.ownerId, signal, () =>
        this.#run(request, plan, reference, bounded),
      );
      const built = await this.#parts.images.find(reference);
      if (built === undefined) {
        throw new InsienError("build_failed", "the built image is gone right after its build");
      }
      await this.#mustKeepLabels(reference, built);
      return { ...this.#template(reference, built), cached: false };
    } catch (cause) {
      options.signal?.throwIfAborted();
      if (!time.aborted) throw cause;
      const minutes = LIMITS.buildMs.value / 60_000;
      throw new InsienError("build_failed", `the build took longer than ${minutes} minutes`, {
        cause,
        details: { step: "", output: "" },
      });
    }
  }

  #template(image: string, { id, user }: StoredImage): PreparedTemplate {
    return {
      name: image.replace(":", "-").slice(0, REPOSITORY.length + 13),
      image,
      ...(user === undefined ? {} : { user }),
      fingerprint: fingerprintOf(id, this.#parts.kit),
    };
  }

  async #plan(request: BuildRequest, options: BuildOptions): Promise<BuildPlan> {
    const content = request.files.get(DOCKERFILE);
    if (content === undefined) {
      throw new InsienError("invalid_request", `the build context has no ${DOCKERFILE}`);
    }
    const dockerfile = parseDockerfile(Buffer.from(content).toString("utf8"));
    const usesBase = dockerfile.instructions.some(
      ({ keyword, rest }) => keyword === "FROM" && rest.includes(BASE_IMAGE),
    );
    const base = usesBase ? await this.#parts.builder.base(options) : BASE_IMAGE;
    const replacements = new Map([
      [BASE_IMAGE, base],
      [`${BASE_IMAGE}:latest`, base],
    ]);
    return planBuild(dockerfile, { replacements, label: this.#stepLabel(request) });
  }

  /**
   * The daemon answers a step from any image that was made by the same step on the same ground. By
   * this ground those of one owner and one network are apart from all others: what a step without a
   * network could not fetch would otherwise be missing for everybody.
   */
  #stepLabel({ ownerId, network }: BuildRequest): string {
    const whose = createHash("sha256").update([this.#parts.ownerId, ownerId, network].join("\0"));
    const ground = whose.digest("hex").slice(0, HASH_LENGTH);
    return `${this.#label(imageKind.step)} ${LABELS.context}=${ground}`;
  }

  /** On everything that a build makes, from its first step on. */
  #label(kind: string): string {
    return `LABEL ${LABELS.owner}=${this.#parts.ownerId} ${LABELS.image}=${kind}`;
  }

  async #known(reference: string): Promise<StoredImage | undefined> {
    const found = await this.#parts.images.find(reference);
    return found?.labels[LABELS.owner] === this.#parts.ownerId ? found : undefined;
  }

  /** Before the daemon starts from them: their triggers would be its instructions as well. */
  async #makeBases({ bases }: BuildPlan, options: BuildOptions): Promise<void> {
    const { images } = this.#parts;
    for (const base of bases) {
      const step = `FROM ${base}`;
      const found =
        (await images.find(base)) ??
        (await images.pull(base, options).catch((cause: unknown) => {
          options.signal?.throwIfAborted();
          const words = cause instanceof Error ? cause.message : String(cause);
          const details = { step, output: words };
          throw new InsienError("build_failed", `${step}: ${words}`, { cause, details });
        }));
      for (const trigger of found.triggers) mustBeHarmlessTrigger(trigger);
    }
  }

  async #run(
    request: BuildRequest,
    plan: BuildPlan,
    reference: string,
    options: BuildOptions & { signal: AbortSignal },
  ): Promise<void> {
    const { engine, ownerId } = this.#parts;
    const last = `${this.#label(imageKind.build)} ${LABELS.context}=${reference}`;
    const text = `${plan.text}${last}\n`;
    const ownStep = `LABEL ${LABELS.owner}=${ownerId} ${LABELS.image}=`;
    const ownSteps = text.split("\n").filter((line) => line.startsWith(ownStep)).length;
    let step: string | undefined;
    const followers = {
      onProgress: options.onProgress,
      isOwnStep: (words: string) => words.startsWith(ownStep),
      ownSteps,
      onContainer: (containerId: string) => {
        step = containerId;
        void this.#boundProcesses(containerId);
      },
    };
    await withBuildNetwork(this.#parts, request.network, async (networkmode) => {
      options.signal.throwIfAborted();
      try {
        const context = Readable.from(contextArchive(request, text));
        const building = await engine.docker.buildImage(context, {
          t: reference,
          networkmode,
          nocache: request.force,
          rm: true,
          forcerm: true,
          abortSignal: options.signal,
          ...limits(),
        });
        await untilAborted(building, options.signal, () => followBuild(building, followers));
        options.signal.throwIfAborted();
      } catch (cause) {
        // The daemon is slow to notice that nobody listens any more.
        if (step !== undefined) await this.#removeStep(step);
        throw isEngineError(cause) && cause.statusCode < 500
          ? refusedDockerfile(cause)
          : engine.failure("build_failed", `building ${reference}`, cause);
      }
    });
  }

  /** The daemon's builder takes no limit of processes: it is set on each step's container. */
  async #boundProcesses(containerId: string): Promise<void> {
    const container = this.#parts.engine.docker.getContainer(containerId);
    // A step that is over needs no bound any more.
    await container.update({ PidsLimit: LIMITS.buildPids.value }).catch(() => undefined);
  }

  async #removeStep(containerId: string): Promise<void> {
    const container = this.#parts.engine.docker.getContainer(containerId);
    await container.remove({ force: true }).catch(() => undefined);
  }

  /** Labels say what is ours: a Dockerfile may not hand out such. */
  async #mustKeepLabels(reference: string, { labels }: StoredImage): Promise<void> {
    const foreign = reservedLabel(labels);
    if (foreign === undefined) return;
    await this.#parts.engine.docker.getImage(reference).remove();
    const message = `labels that begin with "insien." are reserved, and the image has ${foreign}`;
    throw new InsienError("build_failed", message, {
      details: { step: `LABEL ${foreign}`, output: message },
    });
  }
}

const limits = () => ({
  memory: LIMITS.buildMemoryBytes.value,
  memswap: LIMITS.buildMemoryBytes.value,
  cpuperiod: CPU_PERIOD_MICROSECONDS,
  cpuquota: LIMITS.buildCores.value * CPU_PERIOD_MICROSECONDS,
});

function refusedDockerfile(cause: Error): InsienError {
  const output = engineWords(cause);
  const details = { step: DOCKERFILE, output };
  return new InsienError("build_failed", `the ${DOCKERFILE} is refused: ${output}`, {
    cause,
    details,
  });
}

/** Of everything that makes a difference to the image, but what its bases' names stand for. */
function hashOf(ownerId: string, plan: BuildPlan, { files, network }: BuildRequest): string {
  const hash = createHash("sha256").update([ownerId, network, plan.text].join("\0"));
  for (const [path, content] of [...files].toSorted(([one], [other]) => (one < other ? -1 : 1))) {
    if (path === DOCKERFILE) continue;
    hash.update(`\0${path}\0${content.byteLength}\0`).update(content);
  }
  return hash.digest("hex").slice(0, HASH_LENGTH);
}

const SHEBANG = Buffer.from("#!");

function* contextArchive({ files }: BuildRequest, dockerfile: string): Generator<Buffer> {
  const entries = [...files]
    .filter(([path]) => path !== DOCKERFILE)
    .map(([path, content]) => {
      const isScript = Buffer.from(content.subarray(0, SHEBANG.length)).equals(SHEBANG);
      return { path, mode: isScript ? 0o755 : 0o644, content };
    });
  const own = { path: DOCKERFILE, mode: 0o644, content: Buffer.from(dockerfile) };
  yield* tarArchive([own, ...entries]);
}
