import type { ApiClient } from "./api-client.ts";
import { sandboxError, SandboxError } from "./errors.ts";
import type { Platform } from "./platform/platform.ts";
import { RpcClient } from "./rpc/rpc-client.ts";
import { RpcConnection } from "./rpc/rpc-connection.ts";
import { getSandbox } from "./sandbox-api.ts";
import type { SandboxInfo } from "./sandbox-info.ts";
import type { Session } from "./session.ts";

/**
 * Prepares to talk to a sandbox. The first connection is begun at once, before anyone asks for it.
 */
export function openSession(platform: Platform, api: ApiClient, info: SandboxInfo): Session {
  const { apiKey, requestTimeoutMs, reconnectTimeoutMs } = api.configuration;
  const { id, agentUrl } = info;
  const open = async (): Promise<RpcConnection> => {
    try {
      return await RpcConnection.open(platform, agentUrl, { apiKey });
    } catch (error) {
      if (!platform.seesRefusals) await explainRefusal(api, id);
      throw error;
    }
  };
  const rpc = new RpcClient({ open, requestTimeoutMs, reconnectTimeoutMs });
  if (info.state === "running") rpc.pool.warm();
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
