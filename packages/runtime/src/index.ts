export * from "./facets.ts";
export * from "./inside-ranges.ts";
export * from "./runtime.ts";
