import type { RpcHandlers } from "../rpc/connection.ts";
import { listPorts } from "./listeners.ts";

export { handleConnect, handlePortUpgrade } from "./port-requests.ts";

/** Answers to the calls about TCP ports inside the machine. */
export function portHandlers(): RpcHandlers<"ports"> {
  return { ports: async () => ({ ports: await listPorts() }) };
}
