/**
 * `npm run check`: all that can be said of the code without a machine. Two lanes, for two cores; a
 * table of times at the end, and the whole output of whatever failed.
 */
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { dirname } from "node:path";

const root = dirname(import.meta.dirname);

interface Check {
  name: string;
  command: readonly string[];
}

/** The longest first, so that the lanes end together. */
const CHECKS: readonly Check[] = [
  { name: "tests", command: ["vitest", "run", "--project", "unit", "--project", "style"] },
  { name: "lint", command: ["oxlint"] },
  { name: "types", command: ["tsc", "-p", "tsconfig.json"] },
  { name: "page types", command: ["tsc", "-p", "packages/studio/tsconfig.json"] },
  { name: "dead code", command: ["knip", "--no-config-hints"] },
  { name: "format", command: ["oxfmt", "--check"] },
];

interface Outcome extends Check {
  passed: boolean;
  seconds: number;
  output: string;
}

async function run(check: Check): Promise<Outcome> {
  const [program = "", ...args] = check.command;
  const begin = performance.now();
  const child = spawn(`node_modules/.bin/${program}`, args, {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, PATH: `${dirname(process.execPath)}:${process.env["PATH"] ?? ""}` },
  });
  let output = "";
  const collect = (chunk: string): void => {
    output += chunk;
  };
  child.stdout.setEncoding("utf8").on("data", collect);
  child.stderr.setEncoding("utf8").on("data", collect);
  const passed = await new Promise<boolean>((resolve) => {
    child.on("error", (error) => {
      output += String(error);
      resolve(false);
    });
    child.on("close", (code) => resolve(code === 0));
  });
  return { ...check, passed, seconds: (performance.now() - begin) / 1000, output };
}

const queue = [...CHECKS];
const outcomes: Outcome[] = [];
async function lane(): Promise<void> {
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    outcomes.push(await run(next));
  }
}

const begin = performance.now();
await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, lane));

for (const { name, command, output } of outcomes.filter(({ passed }) => !passed)) {
  process.stdout.write(`\n── ${name}: ${command.join(" ")}\n${output.trim()}\n`);
}
process.stdout.write("\n");
for (const { name, passed, seconds } of outcomes) {
  process.stdout.write(
    `${passed ? "ok  " : "FAIL"}  ${name.padEnd(10)} ${seconds.toFixed(1).padStart(5)} s\n`,
  );
}
process.stdout.write(
  `      together   ${((performance.now() - begin) / 1000).toFixed(1).padStart(5)} s\n`,
);
if (outcomes.some(({ passed }) => !passed)) process.exitCode = 1;
