import { resolve } from "node:path";
import { stat } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Command } from "commander";
import { sandboxOf } from "../context.ts";
import { type OutputFlags, print } from "../output/print.ts";
import { Progress } from "../output/progress.ts";
import { bytesText } from "../output/quantity.ts";
import { copyName } from "../sandbox-path.ts";

export function addExport(program: Command): void {
  program
    .command("export")
    .description("Save a folder of a sandbox as a zip file")
    .argument("<sandbox>", "id, beginning of an id, or name")
    .argument("[folder]", "the home directory by default", ".")
    .argument("[file]", "where to, or - for stdout; named after the folder by default")
    .option("--json", "as JSON")
    .action(async (...call: [string, string, string | undefined, OutputFlags, Command]) => {
      const [reference, folder, file, flags, command] = call;
      await using sandbox = await sandboxOf(command, reference);
      if (file === "-") {
        const zip = await sandbox.files.readArchive(folder, { format: "zip", requestTimeoutMs: 0 });
        await pipeline(Readable.fromWeb(zip), process.stdout, { end: false });
        return;
      }
      const target = resolve(file ?? `${copyName(folder) ?? "sandbox"}.zip`);
      using progress = new Progress();
      progress.step(`${folder} ...`);
      await sandbox.files.exportZip(folder, target, { requestTimeoutMs: 0 });
      progress.done();
      const { size } = await stat(target);
      print(flags, { file: target, bytes: size }, `${target}  ${bytesText(size)}`);
    });
}
