export { Log } from "./log.ts";
export { handleLogs } from "./log-requests.ts";
export { handleMainControl } from "./main-requests.ts";
export { Supervisor } from "./supervisor.ts";
