export * from "./errors.ts";
export * from "./frames.ts";
export * from "./ids.ts";
export * from "./limits.ts";
export * from "./line.ts";
export * from "./rest.ts";
export * from "./rpc.ts";
