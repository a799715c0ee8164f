/** The agent as a machine has it: process 1, in images of any kind, small. */
import { execFileSync, spawn } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { buffer } from "node:stream/consumers";
import { AGENT_ENVIRONMENT, MACHINE_PATHS, newId } from "@insien/protocol";
import { mustHave, waitFor } from "@insien/test-kit";
import { expect, test } from "vitest";
import { startAgent, testKit } from "./agent-process.ts";
import { LineServer } from "./line-server.ts";
import { RpcClient } from "./rpc-client.ts";

const succeeds = (file: string, args: string[]): boolean => {
  try {
    execFileSync(file, args, { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
};
const isolation = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
const hasNamespaces = mustHave(
  succeeds("unshare", [...isolation.slice(1), "true"]),
  "the right to make process namespaces",
);
const hasDocker = mustHave(succeeds("docker", ["version"]), "a Docker daemon");

test.skipIf(!hasNamespaces)(
  "as process 1 it reaps orphans and keeps its commands' codes",
  async () => {
    await using agent = await startAgent({ wrapper: isolation });
    const client = new RpcClient(await agent.line.rpc());
    const orphans = "for i in 1 2 3 4 5 6 7 8; do (sh -c 'sleep 0.2 & exit 0' &); done; exit 5";
    expect(await client.call("exec", { shell: orphans })).toMatchObject({ exitCode: 5 });
    const census = "cat /proc/[0-9]*/stat | cut -d ' ' -f 2,3,4";
    await waitFor(
      async () => {
        const { stdout } = await client.call("exec", { shell: census });
        return !stdout.includes("sleep") && !stdout.includes(" Z ");
      },
      { describe: "the orphans to end and to be reaped" },
    );
  },
);

test.skipIf(!hasNamespaces)(
  "as process 1 it passes SIGTERM on to everything and goes",
  async () => {
    await using agent = await startAgent({ wrapper: isolation });
    const client = new RpcClient(await agent.line.rpc());
    const marker = `/tmp/insien-term-${newId()}`;
    // Detached from its starter's group and session: only process 1 knows of it.
    const shell = `setsid sh -c 'trap "touch ${marker}; exit" TERM; while :; do sleep 0.05; done' & sleep 0.3`;
    await client.call("exec", { shell });
    const [inner = ""] = readFileSync(
      `/proc/${agent.child.pid}/task/${agent.child.pid}/children`,
      "utf8",
    ).split(" ");
    process.kill(Number(inner), "SIGTERM");
    await waitFor(() => agent.child.exitCode !== null || agent.child.signalCode !== null);
    expect(succeeds("rm", [marker])).toBe(true);
  },
);

test("an idle agent takes 25 MiB at most, after work as well", async () => {
  await using agent = await startAgent();
  const client = new RpcClient(await agent.line.rpc());
  for (let round = 0; round < 300; round += 1) {
    await client.call("exec", { shell: "echo some output; echo more >&2" });
  }
  await client.call("exec", { shell: "head -c 8000000 /dev/zero" });
  const pid = agent.child.pid ?? 0;
  const bound = 25 * 1024 ** 2;
  await waitFor(() => memoryBytes(pid) < bound, {
    describe: `the agent to need less than ${bound} bytes`,
  });
  expect(readdirSync(`/proc/${pid}/fd`).length).toBeLessThan(40);
});

/** What is the agent's own: its private memory, and its share of what others map, too. */
function memoryBytes(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1]) * 1024;
}

test.skipIf(!hasDocker)("the kit runs in an image that holds nothing at all", async () => {
  const kit = await testKit();
  await using line = await LineServer.listen();
  const name = `insien-agent-test-${newId()}`;
  execFileSync("sh", ["-c", `tar c -T /dev/null | docker import - ${name}`], { stdio: "ignore" });
  const mounts = [
    `${kit.directory}:${MACHINE_PATHS.kit}:ro`,
    `${line.directory}:${MACHINE_PATHS.line}:ro`,
  ];
  const container = spawn(
    "docker",
    [
      "run",
      "--rm",
      "--name",
      name,
      "--network",
      "none",
      "--cap-drop",
      "ALL",
      ...["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID"].flatMap(
        (capability) => ["--cap-add", capability],
      ),
      "--security-opt",
      "no-new-privileges",
      ...mounts.flatMap((mount) => ["--volume", mount]),
      "--env",
      `${AGENT_ENVIRONMENT.machineId}=scratch`,
      name,
      ...kit.command,
    ],
    { stdio: "ignore" },
  );
  try {
    const client = new RpcClient(await line.rpc());
    const [loader = "", ...rest] = kit.command.slice(0, 4);
    const script = "console.log(process.getuid(), fs.readdirSync('/').includes('bin'))";
    const answer = await client.call("exec", {
      cmd: loader,
      args: [...rest, "-e", script],
      user: "1000",
    });
    expect(answer).toMatchObject({ stdout: "1000 false\n", stderr: "", exitCode: 0 });
    const shell = client.call("exec", { shell: "true" });
    await expect(shell).rejects.toMatchObject({ error: { code: "command_not_found" } });
    await client.call("write", { path: "/made/here", content: "x" });
    expect(await client.call("read", { path: "/made/here" })).toMatchObject({ content: "x" });
    // No archive holds the token that the agent reports with, not even one of everything.
    for (const path of [MACHINE_PATHS.line, `${MACHINE_PATHS.line}/token`]) {
      const { statusCode } = await line.fetch(`/archive?path=${path}&format=tar`);
      expect([path, statusCode]).toEqual([path, 403]);
    }
    const everything = await buffer(await line.fetch("/archive?path=/&format=tar"));
    expect(everything.includes("made/here")).toBe(true);
    expect(everything.includes("test-token")).toBe(false);
  } finally {
    container.kill("SIGKILL");
    execFileSync("sh", ["-c", `docker rm -f ${name}; docker rmi ${name}`], { stdio: "ignore" });
  }
});
