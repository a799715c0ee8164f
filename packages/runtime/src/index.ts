export * from "./facets.ts";
export * from "./runtime.ts";
