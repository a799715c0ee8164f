/**
 * Every bound in the system: a name, a unit (last word of the name), a default and the reason.
 * Nothing that untrusted input can grow is without a row here.
 */
import { CLIENT_LIMITS, type Limit, limit } from "./client-limits.ts";
import { PEOPLE_LIMITS } from "./people-limits.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const SECOND = 1000;
const MINUTE = 60 * SECOND;

export const LIMITS = {
  ...CLIENT_LIMITS,

  // People
  ...PEOPLE_LIMITS,

  // RPC
  rpcConnectionsPerSandbox: limit(
    256,
    "Each holds one descriptor in the agent and two in the orchestrator.",
  ),
  rpcRequestsInFlight: limit(
    256,
    "Per connection; a client that never reads answers cannot queue without end.",
  ),

  // Commands
  outputRingBytes: limit(
    1 * MiB,
    "Kept per stream so that a reader that comes back gets what it missed.",
  ),
  processesPerSandbox: limit(
    512,
    "Records in the agent; the kernel's own limit is the sandbox's pids limit.",
  ),
  endedProcessesKept: limit(
    128,
    "Ended commands whose exit code and last output can still be asked for.",
  ),
  endedOutputBytes: limit(
    16 * MiB,
    "The rings of all ended commands together; the oldest are emptied first.",
  ),
  orphanedCommandMs: limit(
    1 * MINUTE,
    "How long a command not started in the background outlives its last reader.",
  ),
  commandLineBytes: limit(128 * KiB, "Linux refuses single arguments above this (MAX_ARG_STRLEN)."),
  environmentBytes: limit(256 * KiB, "All variables of one command or sandbox together."),
  stdinBufferBytes: limit(
    1 * MiB,
    "Input that waits for a command that does not read; past it the sender waits.",
  ),
  drainAfterExitMs: limit(
    250,
    "A child left in the background may hold the output open; its parent's exit is not kept waiting longer.",
  ),
  killGraceMs: limit(
    5 * SECOND,
    "Between SIGTERM and SIGKILL when a command times out or the sandbox stops.",
  ),

  // Terminals
  terminalsPerSandbox: limit(64, "Each is a pseudo-terminal and a scrollback in the agent."),
  terminalScrollbackBytes: limit(256 * KiB, "Replayed to each newcomer."),
  terminalCells: limit(1000, "Rows or columns; the kernel takes 65535, no screen does."),

  // Files
  fileInlineBytes: limit(
    8 * MiB,
    "`read` and `write` carry the file inside a JSON frame; larger files stream.",
  ),
  directoryEntries: limit(10_000, "One listing; deeper or wider trees are listed in parts."),
  directoryDepth: limit(64, "A recursive listing's depth."),
  searchMatches: limit(1_000, "One search's answer."),
  searchMs: limit(
    20 * SECOND,
    "A pattern that backtracks without end is stopped; what was found by then is answered.",
  ),
  searchesAtOnce: limit(
    2,
    "Each has a thread with its own memory; further ones wait for their turn.",
  ),
  searchLineCharacters: limit(
    1_000,
    "Of a matching line's text; generated files have lines of megabytes.",
  ),
  searchFileBytes: limit(4 * MiB, "Files above this are not searched; they are rarely text."),
  watchesPerSandbox: limit(64, "Each recursive watch takes one inotify watch per directory."),
  watchPendingPaths: limit(
    10_000,
    "Changed paths not told yet; past it the watcher is told to list again.",
  ),
  watchDirectories: limit(
    8_192,
    "Directories under one recursive watch; the kernel's usual total per user.",
  ),
  pathBytes: limit(4096, "Linux's PATH_MAX."),
  archiveDirectoryBytes: limit(
    64 * MiB,
    "A zip ends with a list of its entries, held until then: half a million names. A tar has none.",
  ),
  archiveEntries: limit(
    1_000_000,
    "Taken out of one tar; more would rather use up a file system's inodes than be a folder.",
  ),
  archiveDepth: limit(128, "Directories inside each other in a tar; each is held open on the way."),

  // Line
  lineSpareConnections: limit(3, "Parked connections each agent keeps ready."),
  lineTakeMs: limit(5 * SECOND, "How long a request waits for a parked connection."),
  lineReconnectMs: limit(
    1 * SECOND,
    "The longest pause between two dials of an agent that lost its orchestrator.",
  ),
  lineHeartbeatMs: limit(5 * SECOND, "A line silent for three of these is taken for dead."),
  lineConnections: limit(
    1_024,
    "Of one machine at once; more than its RPC connections, ports and transfers together need.",
  ),
  lineDials: limit(
    32,
    "Of one machine under way at once; an agent dials as many as it keeps spare.",
  ),
  lineParkedConnections: limit(
    32,
    "Kept for one machine, though its agent keeps few: an agent that dials without end is not trusted.",
  ),
  lineAnswerMs: limit(10 * SECOND, "For an agent to answer its orchestrator's own requests."),
  lineAnswerBytes: limit(64 * KiB, "Of such an answer; it is a few words."),
  controlEventBytes: limit(
    256 * KiB,
    "One event of an agent; the longest names a command with its arguments.",
  ),
  controlEventsPerSecond: limit(
    5_000,
    "Of one agent; a command is three events. Past it the agent waits.",
  ),
  controlBytesPerSecond: limit(4 * MiB, "Of one agent's events."),
  recordedArguments: limit(32, "Of a command in its event; enough to tell commands apart."),
  recordedArgumentCharacters: limit(256, "Of each of these; arguments can be megabytes."),
  recordedEventsPerMinute: limit(
    6_000,
    "Of one sandbox's commands; the rest is counted in one record, so that no sandbox fills the database.",
  ),
  machineLostMs: limit(
    1500,
    "How long a line may be gone before the machine is examined and, if gone, failed.",
  ),

  // REST
  requestBodyBytes: limit(1 * MiB, "JSON bodies; files do not go through them."),
  requestsPerMinute: limit(6_000, "Per key; ten thousand creates an hour and their commands fit."),
  externalPortsPerOwner: limit(100, "Ports of the host, which all owners share."),
  subdomainsPerOwner: limit(100, "Names under the domain, which all owners share."),
  programTokensPerMinute: limit(
    600,
    "Different bearer tokens per minute and address for programs in sandboxes; each is compared with our keys.",
  ),
  failedSignInsPerMinute: limit(
    30,
    "Per address; guessing a key of 256 bits stays hopeless and quiet.",
  ),
  rateBuckets: limit(
    10_000,
    "Callers whose rate is remembered at once, per kind; the one longest idle is forgotten first.",
  ),
  requestHeaderBytes: limit(16 * KiB, "Request line and headers together."),
  requestHeadersMs: limit(
    10 * SECOND,
    "For a request's headers to arrive; a client that dribbles them holds a socket no longer.",
  ),
  requestBodyMs: limit(30 * SECOND, "For a JSON body to arrive."),
  transferIdleMs: limit(
    2 * MINUTE,
    "A file transfer that moves no byte for this long is given up.",
  ),
  keepAliveMs: limit(
    72 * SECOND,
    "An idle HTTP connection is kept; longer than the 60 s of common load balancers, which must close first.",
  ),
  httpConnections: limit(16_384, "Sockets open on one door, WebSockets included."),
  handshakeMs: limit(10 * SECOND, "For the agent to answer a WebSocket upgrade."),
  closeMs: limit(
    5 * SECOND,
    "What running requests and transfers get to finish when the server stops.",
  ),
  metadataBytes: limit(16 * KiB, "A sandbox's metadata as JSON."),

  // SDK

  // Database
  databaseConnections: limit(
    10,
    "Of one orchestrator to PostgreSQL; statements take about a millisecond, so few carry many requests.",
  ),
  databaseStatementMs: limit(
    15 * SECOND,
    "A statement that runs longer is ended: none of ours should.",
  ),
  databaseRetryMs: limit(
    5 * SECOND,
    "How long a statement waits for a database that restarts before its caller is told.",
  ),
  databaseOpenMs: limit(
    2 * MINUTE,
    "The embedded database's first start takes two seconds, later ones a third; a busy machine, more.",
  ),
  databaseLockMs: limit(
    5 * SECOND,
    "How long a start waits for the embedded database of a process that is just ending.",
  ),
  eventPage: limit(1_000, "Events in one answer."),
  purgeRows: limit(
    1_000,
    "Old sandboxes removed by one statement, so that it holds its locks briefly.",
  ),

  // Several orchestrators on one database
  nodeHeartbeatMs: limit(3 * SECOND, "Between two signs of life of an orchestrator."),
  nodeSilenceMs: limit(
    10 * SECOND,
    "Without a sign of life for this long it is taken for stopped; three of them may be missed.",
  ),
  nodeConnectMs: limit(
    3 * SECOND,
    "For another orchestrator to take a connection; its host may be gone without a word.",
  ),
  nodeProbeMs: limit(
    5 * SECOND,
    "A connection to another orchestrator silent for this long is asked whether it still stands.",
  ),
  nodeCacheMs: limit(
    2 * SECOND,
    "How long another orchestrator's address is believed before it is read again.",
  ),
  nodeCacheEntries: limit(10_000, "Sandboxes of other orchestrators whose place is remembered."),

  // Monitor
  usageRawMs: limit(
    60 * MINUTE,
    "How long measurements are kept as they are; older ones are kept by the minute.",
  ),
  usagePoints: limit(1_000, "Samples in one answer; a longer range has longer steps."),
  usageDiskMs: limit(1 * MINUTE, "Between two measurements of disks, which walk every file."),
  usageMeasureMs: limit(30 * SECOND, "For the runtime to measure all machines of a node once."),
  usagePurgeRows: limit(
    10_000,
    "Old measurements removed by one statement, so that it holds its locks briefly.",
  ),
  usageRollUpMs: limit(
    10 * MINUTE,
    "Of measurements rolled up by one statement, so that catching up after a pause is many short ones.",
  ),
  metricsSandboxes: limit(
    1_000,
    "Sandboxes with series of their own at /metrics; how many were left out is a series too.",
  ),
  hostDiskFreePercent: limit(
    10,
    "Less free space than this on the data directory's disk is warned of.",
  ),

  // Cleanup
  cleanupGraceMs: limit(
    10 * MINUTE,
    "What is younger may be about to get its owner: a create, a build or a start in progress.",
  ),
  cleanupOverdueMs: limit(
    1 * MINUTE,
    "Past its expiry a sandbox is left to its own node this long, which knows it better.",
  ),
  cleanupItems: limit(
    1_000,
    "Removed in one round and listed in one answer; the next one goes on.",
  ),

  leaseMs: limit(
    6 * SECOND,
    "How long work stays with a process that gives no sign of life before another takes it over.",
  ),

  // Keys
  keyCacheMs: limit(
    5 * SECOND,
    "How long another orchestrator's revocation of a key may stay unseen.",
  ),
  keyCacheEntries: limit(
    10_000,
    "Known and unknown keys remembered; made-up keys cannot grow it further.",
  ),
  quotaCacheMs: limit(
    5 * SECOND,
    "How long a change of an owner's quotas may stay unseen by another orchestrator.",
  ),
  quotaCacheEntries: limit(10_000, "Owners whose quotas are remembered."),
  keyUseWriteMs: limit(30 * SECOND, "Between writes of the keys' last use."),

  // Sandboxes
  bootMs: limit(30 * SECOND, "From a machine's start to its agent's first words."),

  portConnectionsPerSandbox: limit(
    512,
    "Requests and WebSockets to its programs at once; half of what its line carries stays for the rest.",
  ),
  portIdleConnections: limit(16, "Kept open to one port of a sandbox for the next request."),
  portIdleMs: limit(
    4 * SECOND,
    "How long these are kept: less than the five seconds after which common servers close theirs.",
  ),
  portsKeptOpen: limit(64, "Ports of one sandbox to which idle connections are kept at once."),
  portAnswerMs: limit(
    2 * MINUTE,
    "For a program in a sandbox to begin its answer, counted from the last byte of the request.",
  ),
  portAnswerHeaderBytes: limit(64 * KiB, "Headers of such an answer."),
  portCacheMs: limit(
    2 * SECOND,
    "How long what another server changed about a port may stay unseen.",
  ),
  portCacheEntries: limit(
    10_000,
    "Ports and host names remembered, those that do not exist included.",
  ),
  externalPortConnections: limit(256, "Open at once on one external port."),
  volumesPerSandbox: limit(32, "Each is a mount of the machine."),
  volumesPerOwner: limit(1_000, "Each is storage of the host."),
  mainRestartFirstMs: limit(
    100,
    "Before the main command's first start over; it doubles with each failure that follows.",
  ),
  mainRestartPauseMs: limit(
    30 * SECOND,
    "The longest such pause: what waits for a database comes up soon after it.",
  ),
  mainSteadyMs: limit(
    10 * SECOND,
    "A run of the main command that lasted this long makes the next pause the shortest again.",
  ),
  mainGraceMsMax: limit(10 * MINUTE, "What a main command may ask for to end in peace."),
  mainLogBytes: limit(4 * MiB, "Of the main command's output that can still be read."),
  mainLogLineBytes: limit(64 * KiB, "Of one line of its log; longer ones come in pieces."),
  mainLogQuietMs: limit(
    250,
    "An unfinished line is shown to who follows once nothing came for this long: a prompt, progress.",
  ),
  buildContextBytes: limit(
    16 * MiB,
    "It travels in one request; larger things are fetched by the build.",
  ),
  buildContextFiles: limit(2_000, "Files of one build context."),

  // Webhooks
  webhooksPerOwner: limit(20, "Each event of the owner's may become a delivery to each."),
  webhookPendingDeliveries: limit(
    10_000,
    "Of one webhook; one that falls further behind is switched off, and its owner told why.",
  ),
  webhookLogDeliveries: limit(10_000, "Finished deliveries of one webhook that can be looked up."),
  webhookLogMs: limit(7 * 24 * 3600 * SECOND, "How long they can be, at most."),
  webhookAttemptMs: limit(
    10 * SECOND,
    "For a receiver to answer; it may take its time afterwards.",
  ),
  webhookAnswerBytes: limit(
    16 * KiB,
    "Of a receiver's answer, which is read past and not kept; its status alone counts.",
  ),
  webhookAttempts: limit(7, "Of one delivery: over eight hours with the pauses between them."),
  webhookRetryMs: limit(
    5 * SECOND,
    "Before the second attempt; each further pause is six times it.",
  ),
  webhookRetryMsMax: limit(6 * 3600 * SECOND, "The longest pause between two attempts."),
  webhookFailures: limit(
    5,
    "Deliveries in a row given up before the webhook is switched off: nobody has listened for long.",
  ),
  webhookAttemptsAtOnce: limit(
    4,
    "To one webhook by one process: a receiver that is slow holds up itself.",
  ),
  webhookAttemptsOfOwnerAtOnce: limit(16, "By one process: no owner takes all of those there are."),
  webhookAttemptsTotalAtOnce: limit(128, "By one process; each holds a socket."),
  webhookPollMs: limit(1 * SECOND, "Between two looks for events and for deliveries that are due."),
  webhookEventsAtOnce: limit(1_000, "Events that one statement turns into deliveries."),

  // Machines
  machineLogBytes: limit(
    256 * KiB,
    "What a machine's first process prints, kept for the reason of its end.",
  ),
  lastWordsBytes: limit(512, "Of that, what is quoted in the reason."),
  buildsAtOnce: limit(2, "Each takes the host's processors and disk; further ones wait."),
  buildsPerOwner: limit(8, "Under way and waiting; each holds its context in memory."),
  buildMemoryBytes: limit(2048 * MiB, "Of one step; compilers and package managers need as much."),
  buildCores: limit(2, "Of one step."),
  buildPids: limit(1_024, "Processes and threads of one step; parallel compilers take hundreds."),
  buildOutputBytes: limit(16 * KiB, "The end of a failed build's output, told with the failure."),
  builtImageKeptMs: limit(
    7 * 24 * 60 * MINUTE,
    "What a build made and no machine uses answers the same build at once for so long.",
  ),
  leftoverAgeMs: limit(
    10 * MINUTE,
    "Younger things that nothing uses may be part of a call that is under way.",
  ),
  machineImageLayers: limit(
    96,
    "Each new set of volumes adds one; overlay file systems take some 125, so past this they become one.",
  ),
  machineEndMs: limit(5 * SECOND, "For a machine's last processes to be gone after SIGKILL."),
  machineOpenFiles: limit(
    16 * KiB,
    "Descriptors of one process; above what programs need, below what daemons may grant.",
  ),
  engineReconnectMs: limit(1 * SECOND, "Between two attempts to follow the engine's events again."),
} as const satisfies Record<string, Limit>;

export type LimitName = keyof typeof LIMITS;
