/** What the tests of this package share: the daemon, the agent's kit, and a look at what was left. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { prepareKit } from "@insien/agent/kit";
import type { AgentKit } from "@insien/runtime";
import { mustHave } from "@insien/test-kit";
import Docker from "dockerode";

export const docker = new Docker({ socketPath: "/var/run/docker.sock" });

export const dockerAnswers = mustHave(
  await docker.ping().then(
    () => true,
    () => false,
  ),
  "a Docker daemon at /var/run/docker.sock",
);

/** Kept between runs: the kit is named by what it holds. */
export const kit = async (): Promise<AgentKit> =>
  await prepareKit({ directory: join(tmpdir(), "insien-test-kits") });

/** Containers, networks and images of this owner, and volumes of its machines, as sentences. */
export async function leftovers(ownerId: string): Promise<string[]> {
  const filters = JSON.stringify({ label: [`insien.owner=${ownerId}`] });
  const helpers = JSON.stringify({ label: ["insien.helper"] });
  const containers = [
    ...(await docker.listContainers({ all: true, filters })),
    ...(await docker.listContainers({ all: true, filters: helpers })),
  ];
  const networks = await docker.listNetworks({ filters });
  const named = containers.map(({ Names, State }) => `container ${Names.join()} is ${State}`);
  const images = await docker.listImages({ all: true, filters });
  const { Volumes } = await docker.listVolumes({ filters: filters as never });
  return [
    ...named,
    ...networks.map(({ Name }) => `there is the network ${Name}`),
    ...images.map(({ Id, Labels }) => `there is the image ${Id} of ${Labels["insien.machine"]}`),
    ...(Volumes ?? [])
      .filter(({ Labels }) => "insien.machine" in Labels)
      .map(({ Name }) => `there is the volume ${Name}`),
  ];
}
