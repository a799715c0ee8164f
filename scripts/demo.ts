/**
 * `./start.sh --demo`: starts Insien on free ports and a data directory of its own, runs the
 * quickstart example against it, stops all that it started, and exits 0 if everything worked.
 */
import { spawn } from "node:child_process";
import { dirname } from "node:path";
import { startServer } from "@insien/test-kit";
import { say } from "./machine/speech.mjs";

const root = dirname(import.meta.dirname);
const EXAMPLE = "examples/quickstart/index.js";

/** Settings that say where and how to run sandboxes are kept; addresses, keys and data are the demo's own. */
const KEPT = ["DOCKER_HOST", "INSIEN_RUNTIME", "INSIEN_ALLOW_INSECURE_LOCAL", "AGENT_IMAGE"];
const inherited: Record<string, string> = Object.fromEntries(
  KEPT.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  }),
);

const indent = (text: string): string => text.replace(/^(?=.)/gm, "  │ ");

/** Resolves with why it failed, `undefined` when it did not. */
async function runExample(
  environment: Record<string, string>,
  signal: AbortSignal,
): Promise<string | undefined> {
  const child = spawn(process.execPath, ["--conditions=source", EXAMPLE], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...environment },
    signal,
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => process.stdout.write(indent(text)));
  }
  return new Promise((resolve) => {
    child.once("error", (error) => resolve(signal.aborted ? "it was interrupted" : error.message));
    child.once("close", (code, by) => {
      resolve(code === 0 ? undefined : `${EXAMPLE} ended with ${by ?? `code ${code}`}`);
    });
  });
}

async function demo(signal: AbortSignal): Promise<string | undefined> {
  say("1. Starting the orchestrator");
  const begin = performance.now();
  await using server = await startServer({ env: inherited });
  process.stdout.write(indent(server.output));
  say(`   ready after ${((performance.now() - begin) / 1000).toFixed(1)} s`);
  say(`2. Running ${EXAMPLE}`);
  const failure = await runExample(
    { INSIEN_API_URL: server.url, INSIEN_API_KEY: server.apiKey },
    signal,
  );
  say("3. Stopping everything that was started");
  return failure;
}

// Interrupted, it still stops its server in the orderly way, which destroys the sandboxes.
const interruption = new AbortController();
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(name, () => interruption.abort());
}

const failure = await demo(interruption.signal).catch((error: unknown) =>
  error instanceof Error ? error.message : String(error),
);
if (failure === undefined) {
  say("The demo worked. Run ./start.sh to use Insien yourself.");
} else {
  say(`error: the demo failed: ${failure}`);
  process.exitCode = 1;
}
