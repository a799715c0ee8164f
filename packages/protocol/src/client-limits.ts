/**
 * The bounds that clients know as well. A table of its own, because a browser's bundle carries what it
 * imports with every reason; `LIMITS` has these rows and all others.
 */
export interface Limit {
  readonly value: number;
  readonly reason: string;
}
export const limit = (value: number, reason: string): Limit => ({ value, reason });

const KiB = 1024;
const MiB = 1024 * KiB;
const SECOND = 1000;
const MINUTE = 60 * SECOND;

export const CLIENT_LIMITS = {
  rpcFrameBytes: limit(
    16 * MiB,
    "One text frame is held in memory whole; larger content goes through the file upload.",
  ),
  sendBufferBytes: limit(
    1 * MiB,
    "What may wait in memory for one slow reader before its source is paused.",
  ),
  collectedOutputBytes: limit(
    8 * MiB,
    "Per stream of one `exec` answer; longer output belongs in a stream.",
  ),
  pageSize: limit(200, "Sandboxes in one page of a list."),
  sdkRequestMs: limit(
    30 * SECOND,
    "How long one request waits for its answer unless the caller says otherwise.",
  ),
  sdkReconnectMs: limit(
    MINUTE,
    "How long a stream tries to find its sandbox again; an orchestrator restarts in less.",
  ),
  sdkRetryMs: limit(1 * SECOND, "The longest pause between two attempts to connect again."),
  sdkHeartbeatMs: limit(
    10 * SECOND,
    "A connection silent for three of these, though asked, is taken for dead.",
  ),
  sdkIdleConnections: limit(
    4,
    "Connections kept open for the next command; each holds a descriptor at every hop.",
  ),
  sdkInlineBytes: limit(
    256 * KiB,
    "Files up to this travel inside one RPC message; larger ones stream over HTTP.",
  ),
  sdkLineCharacters: limit(
    1 * MiB,
    "A longer line of output is given in pieces: what has no line end must not gather in memory.",
  ),
  sdkBacklogBytes: limit(
    8 * MiB,
    "Output held for a slow consumer where a socket cannot be paused (browsers).",
  ),
  createMs: limit(5 * MINUTE, "A create, image pull included."),
  stopGraceMsMax: limit(MINUTE, "What a stop may leave programs to end by themselves."),
  ttlSecondsMax: limit(
    30 * 24 * 3600,
    "A sandbox that should live longer is extended from time to time.",
  ),
  portsPerSandbox: limit(64, "Each may hold a name, and a listening socket of the host."),
  portLinkSecondsMax: limit(30 * 24 * 3600, "A link that should live longer is made anew."),
  mainRetriesMax: limit(1_000, "What fails this often will not succeed the next time."),
  buildMs: limit(20 * MINUTE, "One build of an image."),
} as const satisfies Record<string, Limit>;
