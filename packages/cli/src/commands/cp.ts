import { lstat, mkdir, stat } from "node:fs/promises";
import { basename, join, posix, resolve } from "node:path";
import { Readable } from "node:stream";
import { type Sandbox, SandboxError } from "@insien/sandbox";
import type { Command } from "commander";
import * as tar from "tar";
import { sandboxOf } from "../context.ts";
import { type OutputFlags, print } from "../output/print.ts";
import { Progress } from "../output/progress.ts";
import { bytesText } from "../output/quantity.ts";
import { copyName, sandboxPathOf, type SandboxPath } from "../sandbox-path.ts";
import { unpack } from "../unpack.ts";
import { UsageError } from "../usage-error.ts";

interface Flags extends OutputFlags {
  user?: string;
}

export function addCopy(program: Command): void {
  program
    .command("cp")
    .description("Copy files and folders into a sandbox or out of it; `<sandbox>:<path>` is inside")
    .argument("<source>", "what, such as ./app or box:/home/user/out.csv")
    .argument("<target>", "where; into it when it is a directory that exists")
    .option("-u, --user <user>", "who owns the copies in the sandbox")
    .option("--json", "as JSON")
    .action(async (source: string, target: string, flags: Flags, command: Command) => {
      const from = sandboxPathOf(source);
      const to = sandboxPathOf(target);
      if ((from === undefined) === (to === undefined)) {
        throw new UsageError(
          "One of the two is to be in a sandbox, and the other here.",
          "Write insien cp ./app box:/srv or insien cp box:/srv ./app.",
        );
      }
      await using sandbox = await sandboxOf(command, (from ?? to)?.sandbox ?? "");
      using progress = new Progress();
      const bytes =
        to === undefined
          ? await copyOut(sandbox, (from as SandboxPath).path, target, progress)
          : await copyIn(sandbox, { source, path: to.path, user: flags.user }, progress);
      progress.done();
      print(flags, { bytes }, process.stdout.isTTY ? `Copied ${bytesText(bytes)}.` : "");
    });
}

async function copyIn(
  sandbox: Sandbox,
  { source, path, user }: { source: string; path: string; user: string | undefined },
  progress: Progress,
): Promise<number> {
  const info = await stat(source).catch(() => undefined);
  if (info === undefined) throw new UsageError(`There is no ${source} here.`);
  const label = basename(resolve(source));
  const target = await insideTarget(sandbox, path, source, label);
  if (!info.isDirectory()) {
    progress.step(`${label}  ${bytesText(info.size)} ...`);
    await sandbox.files.upload(resolve(source), target, { user, requestTimeoutMs: 0 });
    return info.size;
  }
  const counted = counter(progress, label);
  const archive = tar.create({ cwd: resolve(source), portable: true }, ["."]);
  const bytes = Readable.toWeb(Readable.from(counted.pass(archive))) as ReadableStream<Uint8Array>;
  await sandbox.files.writeArchive(target, bytes, { user, requestTimeoutMs: 0 });
  return counted.bytes();
}

/** As `cp` has it: into a directory that exists, else under the name that was given. */
async function insideTarget(
  sandbox: Sandbox,
  path: string,
  source: string,
  name: string,
): Promise<string> {
  if (/(?:^|\/)\.$/.test(source)) return path;
  const found = await sandbox.files.stat(path).catch((error: unknown) => {
    if (error instanceof SandboxError && error.code === "file_not_found") return undefined;
    throw error;
  });
  return found?.type === "directory" || path.endsWith("/") ? posix.join(path, name) : path;
}

async function copyOut(
  sandbox: Sandbox,
  path: string,
  target: string,
  progress: Progress,
): Promise<number> {
  const info = await sandbox.files.stat(path);
  const name = copyName(path);
  const place = await localTarget(target, name);
  const label = name ?? path;
  if (info.type !== "directory") {
    progress.step(`${label}  ${bytesText(info.size)} ...`);
    await sandbox.files.download(path, place, { requestTimeoutMs: 0 });
    return info.size;
  }
  await mkdir(place, { recursive: true });
  const counted = counter(progress, label);
  const archive = await sandbox.files.readArchive(path, { requestTimeoutMs: 0 });
  await unpack(counted.pass(archive), place);
  return counted.bytes();
}

/** What has no name is copied as if it were the target. */
async function localTarget(target: string, name: string | undefined): Promise<string> {
  if (name === undefined) return resolve(target);
  const found = await lstat(target).catch(() => undefined);
  const isDirectory =
    found === undefined ? target.endsWith("/") : (await stat(target)).isDirectory();
  return isDirectory ? join(resolve(target), name) : resolve(target);
}

/** Passes bytes on and counts them for the progress line. */
function counter(progress: Progress, label: string) {
  let total = 0;
  return {
    bytes: () => total,
    async *pass(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
      for await (const chunk of source) {
        total += chunk.byteLength;
        progress.bytes(label, total);
        yield chunk;
      }
    },
  };
}
