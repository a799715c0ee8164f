export type { FileContext } from "./file-context.ts";
export { fileHandlers } from "./file-handlers.ts";
export { watchHandlers } from "./watches.ts";
export { handleFiles } from "./file-requests.ts";
