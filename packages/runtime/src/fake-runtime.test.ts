import { runtimeConformance, type ConformanceCase } from "./conformance.ts";
import { FakeHost, FakeRuntime } from "./fake-runtime.ts";

const host = new FakeHost();
const noProcesses: ConformanceCase[] = [
  "stop passes SIGTERM on to what runs",
  "stop ends what ignores SIGTERM after the grace",
  "a memory hog is killed and the machine answers or says why not",
  "a process hog stops at the pids limit",
  "the CPU share holds",
  "update changes the limits of a running machine",
  "updated limits outlive stop and start",
  "update brings the internet to a machine that had none",
  "orphans are reaped",
  "network none has no interface but loopback",
  "network internet reaches neither the host nor private ranges",
  "network internet reaches public names",
  "network internet keeps its rules after stop and start",
  "machines do not see or reach each other",
  "no host files, no docker socket",
  "no host processes are seen",
  "line and kit are read-only",
  "destroy leaves nothing",
  "a create whose first process cannot run leaves nothing",
  "a volume is shared by machines and outlives them",
  "a volume in use is not destroyed",
  "volumes are listed, measured, and seen by their owner alone",
  "a read-only mount refuses writes",
  "a machine with a volume that is not there is not made",
  "other volumes leave a running machine its files, limits, network and labels",
];

runtimeConformance({
  name: "fake",
  create: ({ ownerId }) => new FakeRuntime({ ownerId, host }),
  kit: async () => ({ directory: "/nowhere", command: [], environment: {}, hash: "none" }),
  template: { name: "fake", image: "fake" },
  crash: (runtime, machine) => {
    if (runtime instanceof FakeRuntime) runtime.crash(machine.id);
  },
  skip: noProcesses.map((name) => ({
    case: name,
    reason: "no process runs in an imaginary machine",
  })),
});
