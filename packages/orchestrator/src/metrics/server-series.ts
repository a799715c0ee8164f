import { type Family, family, gauge } from "./families.ts";

/** What a server says of itself each time that its numbers are read. */
export interface ServerState {
  version: string;
  runtime: string;
  database(): Promise<"ok" | "down">;
  /** Warm machines by template. */
  pools(): Record<string, { ready: number; filling: number; size: number }>;
  /** Machines that are listened for, and those of them whose agent is there. */
  lines(): { open: number; up: number };
}

export async function serverFamilies(state: ServerState): Promise<Family[]> {
  const { version, runtime } = state;
  const isUp = (await state.database()) === "ok";
  const lines = state.lines();
  const pools = Object.entries(state.pools());
  return [
    family("gauge", "insien_build_info", "What runs here; always 1.", [
      { labels: { version, runtime, node_version: process.versions.node }, value: 1 },
    ]),
    gauge("insien_database_up", "Whether the database answers.", isUp ? 1 : 0),
    family(
      "gauge",
      "insien_lines",
      "Machines that are listened for, by whether their agent is there.",
      [
        { labels: { agent: "connected" }, value: lines.up },
        { labels: { agent: "awaited" }, value: lines.open - lines.up },
      ],
    ),
    family(
      "gauge",
      "insien_pool_machines",
      "Warm machines that wait, or are being made.",
      pools.flatMap(([template, { ready, filling }]) => [
        { labels: { template, state: "ready" }, value: ready },
        { labels: { template, state: "filling" }, value: filling },
      ]),
    ),
    family(
      "gauge",
      "insien_pool_wanted_machines",
      "Warm machines that there should be.",
      pools.map(([template, { size }]) => ({ labels: { template }, value: size })),
    ),
  ];
}
