import { request } from "node:http";
import type { Runtime } from "@insien/runtime";
import { type Check, failed, ok, textOf, warning } from "./check.ts";

const DOCKER_SOCKET = "/var/run/docker.sock";
const ANSWER_MS = 5_000;

interface DockerInfo {
  ServerVersion: string;
  CgroupVersion?: string;
  MemoryLimit: boolean;
  CpuCfsQuota: boolean;
  PidsLimit: boolean;
}

/** Nothing is checked where another runtime was asked for. */
export async function checkDocker(
  wanted: "auto" | "docker" | "bubblewrap",
  socketPath: string = DOCKER_SOCKET,
): Promise<Check[]> {
  if (wanted === "bubblewrap") return [];
  const name = "Docker daemon";
  let info: DockerInfo;
  try {
    info = (await askDaemon(socketPath, "/info")) as DockerInfo;
  } catch (error) {
    const found = `None answers at ${socketPath}: ${textOf(error)}`;
    const advice = "Start Docker, give this user access to its socket, or set DOCKER_HOST.";
    return [wanted === "docker" ? failed(name, found, advice) : warning(name, found, advice)];
  }
  const found = `Docker ${info.ServerVersion} answers, with cgroup v${info.CgroupVersion ?? "1"}`;
  const missing = [
    ...(info.MemoryLimit ? [] : ["memory"]),
    ...(info.CpuCfsQuota ? [] : ["processors"]),
    ...(info.PidsLimit ? [] : ["processes"]),
  ];
  if (missing.length === 0) return [ok(name, found)];
  const advice = "Switch these cgroup controllers on in the kernel's command line.";
  return [warning(name, `${found}, but cannot limit ${missing.join(" and ")}`, advice)];
}

export async function checkRuntime(
  open: () => Promise<{ runtime: Runtime; reason: string }>,
): Promise<Check> {
  const name = "runtime";
  try {
    const { runtime, reason } = await open();
    await using _runtime = runtime;
    const { limits, notes } = await runtime.capabilities();
    const found = `${runtime.name}: ${reason}`;
    const unlimited = Object.entries(limits)
      .filter(([, means]) => means === undefined)
      .map(([what]) => what);
    if (unlimited.length === 0) return ok(name, found);
    const advice = notes.join(" ") || "Choose another runtime with INSIEN_RUNTIME.";
    return warning(name, `${found}. It cannot limit ${unlimited.join(" and ")}`, advice);
  } catch (error) {
    return failed(name, textOf(error), "Install what is missing, or choose with INSIEN_RUNTIME.");
  }
}

/** What machines are given to run the agent. */
export async function checkKit(prepare: () => Promise<{ directory: string }>): Promise<Check> {
  const name = "agent's kit";
  try {
    const { directory } = await prepare();
    return ok(name, `It is complete, in ${directory}`);
  } catch (error) {
    const advice = "Install what the message names, and see that the data directory has room.";
    return failed(name, `It cannot be laid out: ${textOf(error)}`, advice);
  }
}

function askDaemon(socketPath: string, path: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path, signal: AbortSignal.timeout(ANSWER_MS) }, (answer) => {
      const chunks: Buffer[] = [];
      answer.on("data", (chunk: Buffer) => chunks.push(chunk));
      answer.on("error", reject);
      answer.on("end", () => {
        const text = Buffer.concat(chunks).toString();
        if (answer.statusCode === 200) resolve(JSON.parse(text));
        else reject(new Error(`it answered ${answer.statusCode}: ${text.slice(0, 200)}`));
      });
    })
      .on("error", reject)
      .end();
  });
}
