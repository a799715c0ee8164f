import type { SandboxInfo } from "@insien/sandbox";
import type { ReactNode } from "react";
import { Moment } from "../frame/moments.tsx";
import { coresText, madeFrom, memoryText } from "../sandboxes/sandbox-words.ts";

const NETWORK = { none: "None: nothing leaves it", internet: "Public addresses" };

function idleText(seconds: number): string {
  if (seconds === 0) return "Never destroyed for idling";
  const minutes = Math.round(seconds / 60);
  return `Destroyed after ${minutes < 1 ? `${seconds} s` : `${minutes} min`} idle`;
}

export function SandboxFacts({ sandbox }: { sandbox: SandboxInfo }) {
  const { resources, environmentKeys } = sandbox;
  const facts: [name: string, value: ReactNode][] = [
    ["Made from", madeFrom(sandbox)],
    ["Runtime", sandbox.runtime],
    [
      "Size",
      `${coresText(resources.cpu)} · ${memoryText(resources.memory)} · ${resources.pids} processes`,
    ],
    ["Network", NETWORK[sandbox.network]],
    ["Root folder", sandbox.readOnly ? "Read-only" : "Writable"],
    ["Created", <Moment at={sandbox.createdAt} />],
    ["Last used", <Moment at={sandbox.lastActivityAt} />],
    ["When idle", idleText(sandbox.idleTimeoutSeconds)],
  ];
  if (sandbox.expiresAt !== undefined) facts.push(["Ends", <Moment at={sandbox.expiresAt} />]);
  if (environmentKeys.length > 0)
    facts.push(["Environment", <span className="mono">{environmentKeys.join(", ")}</span>]);
  return (
    <section className="card" style={{ marginBottom: 16 }}>
      <h2 style={{ margin: 0 }}>Facts</h2>
      <dl className="facts">
        {facts.map(([name, value]) => (
          <div key={name} style={{ display: "contents" }}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
