/** A container, as the machine that it is. */
import { constants } from "node:os";
import { LIMITS, type MachineId } from "@insien/protocol";
import type { Machine } from "@insien/runtime";
import type Docker from "dockerode";
import { callerLabels, containerName, LABELS, type Labels } from "./machine-labels.ts";

const SIGNAL_BASE = 128;
const SIGNAL_NAMES = new Map(Object.entries(constants.signals).map(([name, code]) => [code, name]));

export interface ContainerState {
  name: string;
  labels: Labels;
  running: boolean;
  exitReason: string | undefined;
}

export function machineOf(container: ContainerState): Machine {
  const { labels } = container;
  const machineId = (labels[LABELS.machine] ?? "") as MachineId;
  const stopped = container.name !== containerName(machineId);
  const ended = stopped ? "stopped" : "exited";
  const state = container.running ? "running" : ended;
  return {
    machineId,
    state,
    ...(state === "exited" ? { exitReason: container.exitReason ?? "its end was not seen" } : {}),
    templateName: labels[LABELS.template] ?? "",
    fingerprint: labels[LABELS.fingerprint] ?? "",
    labels: callerLabels(labels),
    createdAt: new Date(labels[LABELS.createdAt] ?? 0),
  };
}

type EndState = Pick<
  Docker.ContainerInspectInfo["State"],
  "Status" | "ExitCode" | "OOMKilled" | "Error"
>;

/** Why a container ended, as a sentence; `lastWords` is the tail of what its agent printed. */
export function exitReasonOf(state: EndState, lastWords = ""): string {
  if (state.Status === "created") return "its first process was never started";
  if (state.Error !== "") return `could not be started: ${state.Error}`;
  const signal = SIGNAL_NAMES.get(state.ExitCode - SIGNAL_BASE);
  if (state.OOMKilled && signal === "SIGKILL") return "killed: out of memory";
  const end =
    signal === undefined ? `agent exited with code ${state.ExitCode}` : `agent killed by ${signal}`;
  const words = excerpt(lastWords.trim());
  return words === "" ? end : `${end}: ${words}`;
}

/** From the last line that names an error, since what follows it is a stack; else the very end. */
function excerpt(words: string): string {
  const { value: length } = LIMITS.lastWordsBytes;
  const error = [...words.matchAll(/^\w*Error\b/gm)].at(-1);
  return error === undefined
    ? words.slice(-length)
    : words.slice(error.index, error.index + length);
}
