import { defineConfig } from "vitest/config";

const source = {
  resolve: { conditions: ["source"] },
  ssr: { resolve: { conditions: ["source"] } },
};
const project = (name: string, include: string[], extra: object = {}) => ({
  ...source,
  test: { name, include, testTimeout: 20_000, hookTimeout: 60_000, ...extra },
});
// Tests that share one Docker daemon or one host's cgroups run file by file: two cores are few.
const oneByOne = { fileParallelism: false, testTimeout: 120_000, hookTimeout: 300_000 };

export default defineConfig({
  test: {
    projects: [
      /** Needs nothing but Node: packages/<name>/src/<noun>.test.ts. */
      project("unit", ["packages/*/src/**/*.test.ts", "scripts/**/*.test.ts"]),
      /** Real processes, sockets, databases and machines: packages/<name>/test/. */
      project("integration", ["packages/*/test/**/*.test.ts"], oneByOne),
      /** The product through its own doors. */
      project("e2e", ["tests/e2e/**/*.test.ts"], oneByOne),
      project("security", ["tests/security/**/*.test.ts"], oneByOne),
      project("chaos", ["tests/chaos/**/*.test.ts"], oneByOne),
      /** The code and the documents against each other. */
      project("style", ["tests/style/**/*.test.ts"]),
    ],
  },
});
