import { newId } from "@insien/protocol";

/** Of this process; several on one database tell each other apart by it. */
export const holderOf = (what: string): string => `${what} ${process.pid} ${newId()}`;
