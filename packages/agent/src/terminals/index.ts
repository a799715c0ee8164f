export { terminalDoor } from "./terminal-handlers.ts";
export { TerminalTable } from "./terminal-table.ts";
