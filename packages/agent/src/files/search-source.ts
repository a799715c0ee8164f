/**
 * The text of the search's thread. The kit's bundler runs this module and puts its value in its
 * place, so that the agent stays one file.
 */
import { readFileSync } from "node:fs";
import { transformSync } from "esbuild";

export const SEARCH_SOURCE: string = transformSync(
  readFileSync(new URL("./search-thread.ts", import.meta.url), "utf8"),
  { loader: "ts", target: "node24", minifyWhitespace: true },
).code;
