export { createBubblewrapRuntime, type BubblewrapOptions } from "./bubblewrap-runtime.ts";
