export * from "./must-have.ts";
export * from "./wait-for.ts";
