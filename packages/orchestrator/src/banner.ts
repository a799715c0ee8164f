import type { HttpAddress } from "./http/server.ts";

export interface BannerFacts {
  address: HttpAddress;
  apiKey: string;
  runtime: string;
  runtimeReason: string;
  database: string;
  dataDirectory: string;
  readyMs: number;
  notes: readonly string[];
}

/** What a person sees when the server is ready: where it is, how to get in, and what it chose. */
export function banner(facts: BannerFacts): string {
  const { address } = facts;
  const rows: [string, string][] = [
    ["URL", address.url],
    ["API key", facts.apiKey],
    ["Runtime", `${facts.runtime}: ${facts.runtimeReason}`],
    ["Database", facts.database],
    ["Data", facts.dataDirectory],
    ["API docs", `${address.url}/docs`],
  ];
  if (address.webSocketPort !== undefined) {
    rows.splice(1, 0, [
      "WebSocket",
      address.url.replace(/^http(.*):\d+$/, `ws$1:${address.webSocketPort}`),
    ]);
  }
  const lines = rows.map(([name, value]) => `  ${name.padEnd(10)} ${value}`);
  const notes = facts.notes.map((note) => `  Note       ${note}`);
  return [
    "",
    `Insien is ready (${(facts.readyMs / 1000).toFixed(1)} s)`,
    "",
    ...lines,
    ...notes,
    "",
  ].join("\n");
}
