import type { MainStatus, SandboxInfo } from "@insien/sandbox";
import type { Command } from "commander";
import { sandboxOf } from "../context.ts";
import { type OutputFlags, print } from "../output/print.ts";
import { agoText, spanText } from "../output/quantity.ts";
import { stateText, style } from "../output/style.ts";

export function addShow(program: Command): void {
  program
    .command("show")
    .alias("inspect")
    .description("Show all there is to know of one sandbox")
    .argument("<sandbox>", "id, beginning of an id, or name")
    .option("--json", "as JSON")
    .action(async (reference: string, flags: OutputFlags, command: Command) => {
      await using sandbox = await sandboxOf(command, reference);
      const info = await sandbox.info();
      print(flags, info, () => describe(info));
    });
}

function describe(info: SandboxInfo): string {
  const facts: [string, string | undefined][] = [
    ["Id", info.id],
    ["Name", info.name],
    ["State", stateText(info.state)],
    ["Because", info.stateReason],
    ["Made from", info.image ?? info.template],
    ["Runtime", info.runtime],
    [
      "Limits",
      `CPU ${info.resources.cpu}, memory ${info.resources.memory}, ${info.resources.pids} processes`,
    ],
    ["Main command", info.main && mainText(info.main)],
    ["Root", info.readOnly ? "read-only" : undefined],
    ["Network", info.network],
    ["Environment", info.environmentKeys.join(", ") || undefined],
    ["Metadata", pairs(info.metadata)],
    ["Created", `${info.createdAt.toISOString()} (${agoText(info.createdAt)})`],
    ["Last used", agoText(info.lastActivityAt)],
    ["Expires", info.expiresAt && `in ${spanText(info.expiresAt.getTime() - Date.now())}`],
    [
      "Idle limit",
      info.idleTimeoutSeconds === 0 ? undefined : spanText(info.idleTimeoutSeconds * 1000),
    ],
  ];
  const shown = facts.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]));
  const width = Math.max(...shown.map(([name = ""]) => name.length));
  return shown
    .map(([name = "", value]) => `${style("bold", name.padEnd(width))}  ${value}\n`)
    .join("");
}

const pairs = (values: Record<string, string>): string | undefined =>
  Object.entries(values)
    .map(([name, value]) => `${name}=${value}`)
    .join(", ") || undefined;

function mainText({ state, restarts, maxRetries, exitCode, signal, error }: MainStatus): string {
  const end = error ?? signal ?? (exitCode === undefined ? undefined : `exit code ${exitCode}`);
  const retries = maxRetries === 0 ? "" : `, started again ${restarts} of ${maxRetries} times`;
  return `${stateText(state)}${end === undefined ? "" : ` (${end})`}${retries}`;
}
