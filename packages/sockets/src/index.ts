export { copyBytes, readIntoOneBuffer, type CopyOptions } from "./byte-copy.ts";
export { takeBody, type TakenBody } from "./taken-body.ts";
