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
    plugins: [precomputedShapes],
  });
}

/** Puts the request shapes in the place of the module that would make them with zod. */
const precomputedShapes: Plugin = {
  name: "precomputed-shapes",
  setup(bundler) {
    bundler.onLoad({ filter: /\/request-shapes\.ts$/ }, async ({ path }) => {
      const shapes = (await import(path)) as Record<string, unknown>;
      const lines = Object.entries(shapes).map(
        ([name, value]) => `export const ${name} = ${JSON.stringify(value)};`,
      );
      return { contents: lines.join("\n"), loader: "js" };
    });
  },
};
