import type { Command } from "commander";
import { sandboxOf } from "../context.ts";
import { type OutputFlags, print } from "../output/print.ts";
import { collectVariable } from "../values.ts";
import { missing } from "../usage-error.ts";

interface SetFlags extends OutputFlags {
  replace?: boolean;
}

const RESTART = "The main command still has the old ones; `insien restart` gives it the new.";

export function addEnvironment(program: Command): void {
  const env = program
    .command("env")
    .description("See and change a sandbox's environment variables");
  env
    .command("get", { isDefault: true })
    .alias("ls")
    .description("Show them")
    .argument("<sandbox>", "id, beginning of an id, or name")
    .option("--json", "as JSON")
    .action(async (reference: string, flags: OutputFlags, command: Command) => {
      await using sandbox = await sandboxOf(command, reference);
      const { environment } = await sandbox.environment.get();
      print(flags, environment, () => lines(environment));
    });
  env
    .command("set")
    .description("Set some; the next command has them")
    .argument("<sandbox>", "id, beginning of an id, or name")
    .argument("<name=value...>", "the variables")
    .option("--replace", "drop all others")
    .option("--json", "as JSON")
    .action(async (reference: string, words: string[], flags: SetFlags, command: Command) => {
      const variables = words.reduce(
        (all: Record<string, string>, word) => collectVariable(word, all),
        {},
      );
      await using sandbox = await sandboxOf(command, reference);
      const merge = flags.replace !== true;
      const answer = await sandbox.environment.update(variables, { merge });
      print(flags, answer, answer.restartNeeded ? RESTART : "");
    });
  env
    .command("unset")
    .description("Take some away")
    .argument("<sandbox>", "id, beginning of an id, or name")
    .argument("<names...>", "the variables")
    .option("--json", "as JSON")
    .action(async (reference: string, names: string[], flags: OutputFlags, command: Command) => {
      await using sandbox = await sandboxOf(command, reference);
      const { environment } = await sandbox.environment.get();
      const absent = names.filter((name) => !Object.hasOwn(environment, name));
      if (absent.length > 0) throw missing(`There is no ${absent.join(", ")} to take away.`);
      const rest = Object.fromEntries(
        Object.entries(environment).filter(([name]) => !names.includes(name)),
      );
      const answer = await sandbox.environment.update(rest, { merge: false });
      print(flags, answer, answer.restartNeeded ? RESTART : "");
    });
}

const lines = (environment: Record<string, string>): string =>
  Object.entries(environment)
    .map(([name, value]) => `${name}=${value}\n`)
    .join("");
