/** The studio as it was built: a page, its icon, and assets whose names change with their content. */
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { extname, join, resolve } from "node:path";

const BUILT = resolve(import.meta.dirname, "../../../studio/dist");
const NONCE_PLACE = "__NONCE__";
const NONCE_BYTES = 16;
const TYPES: Record<string, string> = {
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};
/** The best first. */
const ENCODINGS = [
  { name: "br", extension: ".br" },
  { name: "gzip", extension: ".gz" },
] as const;

export interface StudioAnswer {
  body: Buffer | string;
  headers: Record<string, string>;
}

/** Reads the folder once: it changes only when the page is built anew, before a start. */
export class StudioFiles {
  readonly #page: string;
  readonly #files: ReadonlyMap<string, Buffer>;

  constructor(folder: string) {
    const assets = join(folder, "assets");
    this.#page = readFileSync(join(folder, "index.html"), "utf8");
    this.#files = new Map([
      ["icon.svg", readFileSync(join(folder, "icon.svg"))],
      ...readdirSync(assets).map((name) => [name, readFileSync(join(assets, name))] as const),
    ]);
  }

  /** `undefined` when nobody has built the page. */
  static read(folder = BUILT): StudioFiles | undefined {
    return existsSync(join(folder, ".sources")) ? new StudioFiles(folder) : undefined;
  }

  /** With a nonce of its own, for the styles that the page's library adds. */
  page(): StudioAnswer {
    const nonce = randomBytes(NONCE_BYTES).toString("base64url");
    const headers = {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": pagePolicy(nonce),
      "cache-control": "no-cache",
    };
    return { body: this.#page.replaceAll(NONCE_PLACE, nonce), headers };
  }

  /** `undefined` when there is no such file. */
  file(name: string, acceptEncoding = ""): StudioAnswer | undefined {
    const type = TYPES[extname(name)];
    const plain = this.#files.get(name);
    if (type === undefined || plain === undefined) return undefined;
    const headers: Record<string, string> = {
      "content-type": type,
      vary: "accept-encoding",
      "cache-control": name === "icon.svg" ? "no-cache" : "public, max-age=31536000, immutable",
    };
    const accepted = new Set(acceptEncoding.split(",").map((each) => each.trim().split(";", 1)[0]));
    for (const { name: encoding, extension } of ENCODINGS) {
      const body = accepted.has(encoding) ? this.#files.get(name + extension) : undefined;
      if (body !== undefined)
        return { body, headers: { ...headers, "content-encoding": encoding } };
    }
    return { body: plain, headers };
  }
}

/** Everything from this origin; no script and no style that was not built, save styles with the nonce. */
const pagePolicy = (nonce: string): string =>
  [
    "default-src 'none'",
    "script-src 'self'",
    `style-src 'self' 'nonce-${nonce}'`,
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join("; ");
