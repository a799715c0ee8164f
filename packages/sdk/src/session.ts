import type { ApiClient } from "./api-client.ts";
import type { RequestOptions } from "./configuration.ts";
import type { RpcClient } from "./rpc/rpc-client.ts";

/** A sandbox that exists, and the ways to talk to it. */
export interface Session {
  readonly id: string;
  readonly api: ApiClient;
  readonly rpc: RpcClient;
  /** The sandbox's RPC WebSocket; its ports are below it. */
  readonly agentUrl: string;
}

/** Gives the sandbox's session, which creates the sandbox when this is its first use. */
export type SessionSource = (options?: RequestOptions) => Promise<Session>;
