import type { Agent as HttpAgent } from "node:http";
import type { Duplex } from "node:stream";

/** Line connections of one machine. */
export interface AgentConnector {
  /**
   * A parked connection, taken for good: on it the agent is an HTTP/1.1 server that has read nothing
   * yet. Throws `agent_unreachable` when none arrives within `lineTakeMs`.
   */
  take(options?: { signal?: AbortSignal }): Promise<Duplex>;
  /** For `http.request({ agent, path })`: takes parked connections and reuses idle ones. */
  readonly httpAgent: HttpAgent;
  /** Aborted with the reason (an `InsienError`) when the machine is lost. */
  readonly lost: AbortSignal;
}
