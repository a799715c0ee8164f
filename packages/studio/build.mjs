/** Builds the page into dist, and compresses there what compresses, so that no request has to. */
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { build } from "vite";
import { markBuilt, sourcesHash } from "./sources.mjs";

// Whoever builds, a test too: React's other build is slower, and half as large again.
process.env["NODE_ENV"] = "production";
const hash = sourcesHash();
await build({ root: import.meta.dirname, logLevel: "warn" });

const assets = join(import.meta.dirname, "dist/assets");
const params = { [constants.BROTLI_PARAM_QUALITY]: 9 };
for (const name of readdirSync(assets).filter((each) => /\.(?:js|css|svg)$/.test(each))) {
  const content = readFileSync(join(assets, name));
  writeFileSync(join(assets, `${name}.br`), brotliCompressSync(content, { params }));
  writeFileSync(join(assets, `${name}.gz`), gzipSync(content, { level: 9 }));
}
markBuilt(hash);
