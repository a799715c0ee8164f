export { handleArchive } from "./archive-requests.ts";
