export { prepareKit, type PrepareKitOptions } from "./kit.ts";
