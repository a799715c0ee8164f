export * from "./must-have.ts";
export * from "./postgres.ts";
export * from "./processes.ts";
export * from "./server.ts";
export * from "./test-database.ts";
export * from "./wait-for.ts";
