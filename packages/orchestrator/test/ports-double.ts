import type { SandboxId } from "@insien/protocol";
import { pino } from "pino";
import type { Sandbox, Sandboxes } from "../src/app/application.ts";
import { PortDirectory } from "../src/app/port-directory.ts";
import { PortLinks } from "../src/app/port-links.ts";
import { SandboxPorts } from "../src/app/sandbox-ports.ts";
import type { SandboxPortRecord, SandboxPortRows, SandboxRecord } from "../src/db/index.ts";
import { newSandboxRow } from "./sandbox-row.fixture.ts";

export const JWT_SECRET = "a secret of the tests alone";

/** The row behind a sandbox of the application double. */
export const portOwner = (sandbox: Sandbox): SandboxRecord => ({
  ...newSandboxRow({ ...sandbox, nodeId: "node1" }),
  version: 1,
});

/** The real ports, on rows in memory. */
export function portsDouble(
  stored: ReadonlyMap<string, Sandbox>,
  sandboxes: () => Pick<Sandboxes, "get" | "connect">,
): SandboxPorts {
  const rows = memoryRows();
  const get = (id: SandboxId) => {
    const sandbox = stored.get(id);
    return sandbox && portOwner(sandbox);
  };
  const live = {
    get: (id: SandboxId) => {
      const row = get(id);
      return row && { row };
    },
  };
  const ports = new SandboxPorts({
    rows,
    directory: new PortDirectory({ rows, live, store: { get: async (id) => get(id) } }),
    links: new PortLinks(JWT_SECRET),
    rules: {
      externalRange: { first: 1024, last: 65_535 },
      reservedSubdomains: new Set(["api"]),
    },
    nodeId: "node1",
    log: pino({ level: "silent" }),
  });
  ports.use({
    get: (...given) => sandboxes().get(...given),
    connect: (...given) => sandboxes().connect(...given),
  });
  return ports;
}

function memoryRows(): SandboxPortRows {
  const rows = new Map<string, SandboxPortRecord>();
  const keyOf = (id: SandboxId, internal: number) => `${id}:${internal}`;
  const all = () => [...rows.values()];
  return {
    insert: async (ports) => {
      for (const port of ports) rows.set(keyOf(port.sandboxId, port.internal), port);
    },
    ofSandbox: async (id) => all().filter(({ sandboxId }) => sandboxId === id),
    get: async (id, internal) => rows.get(keyOf(id, internal)),
    bySubdomain: async (name) => all().find(({ subdomain }) => subdomain === name),
    setPublic: async (id, internal, isPublic) => {
      const row = rows.get(keyOf(id, internal));
      if (row === undefined) return undefined;
      const changed = { ...row, public: isPublic };
      rows.set(keyOf(id, internal), changed);
      return changed;
    },
    remove: async (id, internal) => rows.delete(keyOf(id, internal)),
    removeAll: async (id) => {
      for (const { sandboxId, internal } of all()) {
        if (sandboxId === id) rows.delete(keyOf(id, internal));
      }
    },
  };
}
