import { InsienError } from "@insien/protocol";
import type { PreparedTemplate, Progress, Runtime, Template } from "@insien/runtime";
import type { CreateRequest } from "./create-request.ts";

/** How long a prepared image is taken to be still there; a create that finds it gone asks again. */
const FRESH_MS = 60_000;

export type WantedTemplate = Partial<
  Pick<CreateRequest, "template" | "image" | "build" | "network" | "ownerId">
>;

interface PrepareOptions {
  onProgress?: (progress: Progress) => void;
  signal?: AbortSignal;
}

interface Entry {
  prepared: Promise<PreparedTemplate>;
  listeners: Set<(progress: Progress) => void>;
  doneAt: number | undefined;
}

/** The templates there are, each made ready once however many ask for it at the same time. */
export class TemplateCatalog {
  readonly #runtime: Runtime;
  readonly #named: ReadonlyMap<string, Template>;
  readonly #entries = new Map<string, Entry>();

  constructor(runtime: Runtime, templates: readonly Template[]) {
    this.#runtime = runtime;
    this.#named = new Map(templates.map((template) => [template.name, template]));
  }

  /** Throws `template_not_found`, `capability_missing`, `image_unavailable` or `build_failed`. */
  async prepare(wanted: WantedTemplate, options: PrepareOptions = {}): Promise<PreparedTemplate> {
    const { build, network = "none", ownerId = "" } = wanted;
    if (build !== undefined) return this.#build(build, { network, ownerId }, options);
    const template = await this.#resolve(wanted);
    const entry = this.#entry(template);
    if (options.onProgress !== undefined) entry.listeners.add(options.onProgress);
    try {
      return await abortable(entry.prepared, options.signal);
    } finally {
      if (options.onProgress !== undefined) entry.listeners.delete(options.onProgress);
    }
  }

  /** Forgets what is known of a template, so that the next create looks again. */
  forget(name: string): void {
    this.#entries.delete(name);
  }

  /** Its steps reach what the sandbox is to reach. A caller who leaves ends it; its layers stay. */
  #build(
    { context, force }: NonNullable<CreateRequest["build"]>,
    of: Pick<CreateRequest, "network" | "ownerId">,
    options: PrepareOptions,
  ): Promise<PreparedTemplate> {
    const { builds } = this.#runtime;
    if (builds === undefined) {
      throw new InsienError(
        "capability_missing",
        `The ${this.#runtime.name} runtime builds no images: leave build_context out`,
      );
    }
    const files = new Map(
      Object.entries(context).map(([path, content]) => [path, bytesOf(content)] as const),
    );
    return builds.build({ files, force, ...of }, options);
  }

  async #resolve(wanted: WantedTemplate): Promise<Template> {
    if (wanted.image !== undefined) {
      const capabilities = await this.#runtime.capabilities();
      if (!capabilities.images) {
        throw new InsienError(
          "capability_missing",
          `The ${this.#runtime.name} runtime makes no sandboxes from images`,
        );
      }
      return { name: `image:${wanted.image}`, image: wanted.image };
    }
    const name = wanted.template ?? "base";
    const template = this.#named.get(name);
    if (template === undefined) {
      const known = [...this.#named.keys()].join(", ");
      throw new InsienError(
        "template_not_found",
        `There is no template '${name}'; there is: ${known}`,
      );
    }
    return template;
  }

  #entry(template: Template): Entry {
    const existing = this.#entries.get(template.name);
    if (
      existing !== undefined &&
      (existing.doneAt === undefined || Date.now() - existing.doneAt < FRESH_MS)
    ) {
      return existing;
    }
    const listeners = new Set<(progress: Progress) => void>();
    const onProgress = (progress: Progress) => {
      for (const listener of listeners) listener(progress);
    };
    const entry: Entry = {
      prepared: this.#runtime.prepare(template, { onProgress }),
      listeners,
      doneAt: undefined,
    };
    this.#entries.set(template.name, entry);
    entry.prepared.then(
      () => {
        entry.doneAt = Date.now();
      },
      () => this.#entries.delete(template.name),
    );
    return entry;
  }
}

const bytesOf = (content: string | { base64: string }): Uint8Array =>
  typeof content === "string" ? Buffer.from(content) : Buffer.from(content.base64, "base64");

/** One caller's impatience does not stop the work that others wait for too. */
function abortable<Value>(
  promise: Promise<Value>,
  signal: AbortSignal | undefined,
): Promise<Value> {
  if (signal === undefined) return promise;
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
