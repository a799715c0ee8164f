import { dirname, join } from "node:path";

/** Loads a native addon of the kit, which lies beside the bundle that runs. */
export function loadAddon<Exports>(fileName: string): Exports {
  const holder: { exports: unknown } = { exports: {} };
  process.dlopen(holder, join(dirname(process.argv[1] ?? ""), fileName));
  return holder.exports as Exports;
}
