import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { type DatabaseKind, defaultDatabase, mustHave } from "@insien/test-kit";

const run = promisify(execFile);

const works = (command: string, args: string[]): Promise<boolean> =>
  run(command, args, { timeout: 20_000 }).then(
    () => true,
    () => false,
  );

/** The runtimes that the whole product is tested on; each is missing only on a laptop that lacks it. */
export const RUNTIMES = ["docker", "bubblewrap"] as const;
export type TestedRuntime = (typeof RUNTIMES)[number];

const present: Record<TestedRuntime, boolean> = {
  docker: mustHave(await works("docker", ["version"]), "a Docker daemon that answers"),
  bubblewrap: mustHave(await works("bwrap", ["--version"]), "bubblewrap"),
};

export const presentRuntimes: TestedRuntime[] = RUNTIMES.filter((name) => present[name]);

/** Each runtime on the run's database, and one of them on the embedded one in any case. */
export const presentCombinations: { runtime: TestedRuntime; database: DatabaseKind }[] = [
  ...presentRuntimes.map((runtime) => ({ runtime, database: defaultDatabase })),
  ...presentRuntimes
    .filter((runtime) => runtime === "bubblewrap" && defaultDatabase !== "embedded")
    .map((runtime) => ({ runtime, database: "embedded" as const })),
];
