import type { Logger } from "pino";
import type { LiveSandboxes } from "./app/live-sandboxes.ts";
import { PortDirectory } from "./app/port-directory.ts";
import { PortLinks } from "./app/port-links.ts";
import { SandboxPorts } from "./app/sandbox-ports.ts";
import type { Config } from "./config.ts";
import type { Database } from "./db/index.ts";
import { PreviewNames } from "./http/previews/preview-names.ts";

/** The ports of sandboxes, as the configuration lets them be reached. */
export function publishPorts(parts: {
  config: Config;
  database: Database;
  live: LiveSandboxes;
  nodeId: string;
  log: Logger;
}): SandboxPorts {
  const { config, database, live, nodeId, log } = parts;
  const rows = database.sandboxPorts;
  const { reservedSubdomains } = new PreviewNames(config);
  return new SandboxPorts({
    rows,
    directory: new PortDirectory({ live, rows, store: database.sandboxes }),
    links: new PortLinks(config.jwtSecret),
    rules: { externalRange: config.externalPorts, reservedSubdomains },
    nodeId,
    log,
  });
}
