/** Makes the one file that runs inside machines. */
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";

const ENTRY = fileURLToPath(new URL("../main.ts", import.meta.url));

/** CommonJS, which Node loads faster than modules; minified, since every start reads it whole. */
export async function bundleAgent(outputFile: string): Promise<void> {
  await build({
    entryPoints: [ENTRY],
    outfile: outputFile,
    bundle: true,
    platform: "node",
    format: "cjs",
    target: "node24",
    minify: true,
    conditions: ["source"],
    logLevel: "silent",
    plugins: [precomputedModules],
  });
}

/**
 * Modules that are run here and leave their values in the bundle: the request shapes, made with
 * zod, and the source of the search's thread.
 */
const precomputedModules: Plugin = {
  name: "precomputed-modules",
  setup(bundler) {
    bundler.onLoad({ filter: /\/(request-shapes|search-source)\.ts$/ }, async ({ path }) => {
      const values = (await import(path)) as Record<string, unknown>;
      const lines = Object.entries(values).map(
        ([name, value]) => `export const ${name} = ${JSON.stringify(value)};`,
      );
      return { contents: lines.join("\n"), loader: "js" };
    });
  },
};
