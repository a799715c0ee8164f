export { terminalDoor, type TerminalDoor } from "./terminal-handlers.ts";
export { TerminalTable, type TerminalTableOptions } from "./terminal-table.ts";
