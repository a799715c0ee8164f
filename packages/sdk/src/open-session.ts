import type { ApiClient } from "./api-client.ts";
import { sandboxError, SandboxError } from "./errors.ts";
import type { Platform } from "./platform/platform.ts";
import { RpcClient } from "./rpc/rpc-client.ts";
import { RpcConnection } from "./rpc/rpc-connection.ts";
import { getSandbox } from "./sandbox-api.ts";
import type { Session } from "./session.ts";

/** Prepares to talk to a sandbox. Costs nothing until the first connection is asked for. */
export function openSession(platform: Platform, api: ApiClient, id: string): Session {
  const { apiKey, apiUrl, requestTimeoutMs, reconnectTimeoutMs } = api.configuration;
  // The main door speaks RPC as well as the second one that `agent_url` may name, and is in reach.
  const agentUrl = `${apiUrl.replace(/^http/, "ws")}/agent/${id}`;
  const open = async (): Promise<RpcConnection> => {
    try {
      return await RpcConnection.open(platform, agentUrl, { apiKey });
    } catch (error) {
      if (!platform.seesRefusals) await explainRefusal(api, id);
      throw error;
    }
  };
  const rpc = new RpcClient({ open, requestTimeoutMs, reconnectTimeoutMs });
  return { id, api, rpc, agentUrl };
}

/** Browsers hide why a WebSocket was refused; the REST answer tells, when the reason lasts. */
async function explainRefusal(api: ApiClient, id: string): Promise<void> {
  try {
    const { state, stateReason = "no reason is known" } = await getSandbox(api, id, {});
    if (state === "failed") {
      throw sandboxError("sandbox_failed", `sandbox ${id} failed: ${stateReason}`);
    }
    if (state === "stopped" || state === "destroyed") {
      throw sandboxError("sandbox_state", `sandbox ${id} is ${state}`);
    }
  } catch (error) {
    if (error instanceof SandboxError && !error.retryable) throw error;
  }
}
