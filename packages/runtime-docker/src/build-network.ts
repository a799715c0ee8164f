/**
 * The network of a build's steps. They run with Docker's usual rights for builds, raw sockets among
 * them, whose packets pass by the rules that machines have: here the interface itself is guarded too.
 */
import { InsienError, LIMITS, newMachineId } from "@insien/protocol";
import { isConflict, isNotFound, type Engine } from "./engine.ts";
import { FORBIDDEN_RANGES } from "./guard-rules.ts";
import type { ImageBuilder } from "./image-builder.ts";
import { LABELS } from "./machine-labels.ts";
import type { NetworkGuard } from "./network-guard.ts";

const HOLDER_MEMORY_BYTES = 32 * 1024 * 1024;
const HOLDER_PIDS = 8;

/** Runs `use` with a network mode for builds; its container and network are gone afterwards. */
export async function withBuildNetwork<Answer>(
  parts: { engine: Engine; builder: ImageBuilder; guard: NetworkGuard; ownerId: string },
  network: "none" | "internet",
  use: (networkMode: string) => Promise<Answer>,
): Promise<Answer> {
  if (network === "none") return await use("none");
  const { engine, builder, guard, ownerId } = parts;
  const id = newMachineId();
  const holder = await engine.docker.createContainer({
    name: `insien-build-${id}`,
    Image: await builder.netguard(),
    Entrypoint: ["sleep"],
    // Ends by itself when nobody is left to remove it.
    Cmd: [String(Math.ceil(LIMITS.buildMs.value / 1000) + 60)],
    Labels: { [LABELS.owner]: ownerId, [LABELS.build]: id },
    HostConfig: {
      NetworkMode: "none",
      AutoRemove: true,
      CapDrop: ["ALL"],
      SecurityOpt: ["no-new-privileges:true"],
      ReadonlyRootfs: true,
      Memory: HOLDER_MEMORY_BYTES,
      PidsLimit: HOLDER_PIDS,
    },
  });
  try {
    const started = holder.start();
    await guard.openNew(id, holder.id, started);
    const rules = interfaceRules(await guard.nameServers(), await guard.hostAddresses());
    await guard.apply(id, holder.id, rules).catch((cause: unknown) => {
      const message =
        "Builds with network internet need a kernel that can filter what leaves an interface " +
        "(5.16 or newer, with nftables' netdev egress); build with network none here";
      throw new InsienError("capability_missing", message, { cause });
    });
    return await use(`container:${holder.id}`);
  } finally {
    await holder.remove({ force: true }).catch((error: unknown) => {
      if (!isNotFound(error) && !isConflict(error)) throw error;
    });
    await guard.remove(id);
  }
}

/** For every packet that leaves, however it was made. */
function interfaceRules(names: readonly string[], hostAddresses: readonly string[]): string {
  const dns =
    names.length === 0
      ? ""
      : `ip daddr { ${names.join(", ")} } meta l4proto { tcp, udp } th dport 53 accept`;
  return `
table netdev insien
delete table netdev insien
table netdev insien {
  set forbidden {
    type ipv4_addr; flags interval; auto-merge
    elements = { ${[...FORBIDDEN_RANGES, ...hostAddresses].join(", ")} }
  }
  chain leaving {
    type filter hook egress device "eth0" priority 0; policy drop;
    meta protocol arp accept
    ${dns}
    ip daddr @forbidden drop
    meta protocol ip accept
  }
}`;
}
