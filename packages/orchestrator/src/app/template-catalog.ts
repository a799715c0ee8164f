import { InsienError } from "@insien/protocol";
import type { PreparedTemplate, Progress, Runtime, Template } from "@insien/runtime";

/** How long a prepared image is taken to be still there; a create that finds it gone asks again. */
const FRESH_MS = 60_000;

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

  /** Throws `template_not_found`, `capability_missing` or `image_unavailable`. */
  async prepare(
    wanted: { template?: string | undefined; image?: string | undefined },
    options: { onProgress?: (progress: Progress) => void; signal?: AbortSignal } = {},
  ): Promise<PreparedTemplate> {
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

  async #resolve(wanted: {
    template?: string | undefined;
    image?: string | undefined;
  }): Promise<Template> {
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
