/** Makes the one file that runs inside machines. */
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";

const ENTRY = fileURLToPath(new URL("../main.ts", import.meta.url));
const ADDON_LOADER = fileURLToPath(new URL("../native/addon.ts", import.meta.url));

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
    // Names in stack traces are worth more than their few bytes.
    keepNames: false,
    conditions: ["source"],
    logLevel: "silent",
    plugins: [precomputedShapes, addonsOfTheKit],
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

/** The pseudo-terminal library finds its addon beside the bundle rather than in packages. */
const addonsOfTheKit: Plugin = {
  name: "addons-of-the-kit",
  setup(bundler) {
    bundler.onLoad({ filter: /node-pty\/requireBinary\.js$/ }, () => ({
      contents: `export { loadAddon as requireBinary } from ${JSON.stringify(ADDON_LOADER)};`,
      resolveDir: fileURLToPath(new URL(".", import.meta.url)),
      loader: "js",
    }));
  },
};
