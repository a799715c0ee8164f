import type { SandboxInfo, SandboxState } from "@insien/sandbox";

export const sandboxTitle = ({ name, id }: Pick<SandboxInfo, "name" | "id">): string => name ?? id;

export const madeFrom = ({ image, template }: SandboxInfo): string => image ?? template;

export type Tone = "ok" | "busy" | "bad" | "idle";
export const TONES: Record<SandboxState, Tone> = {
  creating: "busy",
  running: "ok",
  pausing: "busy",
  paused: "idle",
  stopping: "busy",
  stopped: "idle",
  destroying: "busy",
  destroyed: "idle",
  failed: "bad",
};

/** Those that can be used again; the others are a record of what was. */
export const isLive = ({ state }: SandboxInfo): boolean =>
  state !== "destroyed" && state !== "destroying";

const STEP = 1024;
export function bytesText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= STEP && unit < units.length - 1) {
    value /= STEP;
    unit += 1;
  }
  return `${value.toLocaleString("en", { maximumFractionDigits: value < 10 ? 1 : 0 })} ${units[unit] ?? ""}`;
}

/** "512m" is what the API says, "512 MiB" what people read. */
export const memoryText = (memory: string): string =>
  memory.replace(
    /^(\d+(?:\.\d+)?)([kmgt])i?b?$/i,
    (_all, value: string, unit: string) => `${value} ${unit.toUpperCase()}iB`,
  );

export const coresText = (cores: number): string => `${cores} CPU`;
