import type { EndedPortRows } from "../db/index.ts";
import type { Finder } from "./finding.ts";

/** Ports of sandboxes that ended while nobody could remove them: they hold names and numbers. */
export function endedPorts(rows: EndedPortRows): Finder {
  return {
    kind: "record",
    find: async () => {
      const count = await rows.countEnded();
      if (count === 0) return [];
      const reason = `${count} ports are of sandboxes that have ended`;
      const remove = async () => (await rows.removeEnded()) > 0;
      return [{ kind: "record", id: "ports", reason, remove }];
    },
  };
}
