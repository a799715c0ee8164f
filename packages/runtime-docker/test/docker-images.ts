/** Images made by the tests themselves, and a registry of their own to pull them from. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { waitFor } from "@insien/test-kit";
import { docker } from "./docker-host.ts";

const run = promisify(execFile);
/** Before the names of all images that these tests make. */
const PREFIX = "insien-test";

async function drain(stream: NodeJS.ReadableStream): Promise<string> {
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  if (text.includes('"error"')) throw new Error(text);
  return text;
}

/** Imports a directory as an image of one layer; gives its reference. */
export async function importDirectory(
  directory: string,
  name: string,
  changes: readonly string[] = [],
): Promise<string> {
  const tar = spawn("tar", ["--create", "--numeric-owner", "--directory", directory, "."]);
  const repo = `${PREFIX}/${name}`;
  // The Engine takes no empty list of changes.
  const options = { repo, tag: "1", changes: changes.join("\n") || "LABEL made-by=test" };
  await drain(await docker.importImage(tar.stdout, options));
  return `${repo}:1`;
}

/** `FROM scratch` and nothing more. */
export async function importEmpty(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "insien-test-empty-"));
  try {
    return await importDirectory(directory, "scratch");
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Copies the files of two installed packages here, their documents left out. */
const COPY_PACKAGES = `dpkg --listfiles musl busybox-static | grep -v ^/usr/share |
  while read -r path; do [ -d "$path" ] || echo "$path"; done |
  tar --create --files-from - | tar --extract`;

/** Laid out as Alpine is: musl's loader, one busybox, no glibc, no bash, no /etc/passwd entry but root. */
export async function importMusl(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "insien-test-musl-"));
  const root = join(directory, "root");
  try {
    await mkdir(join(root, "etc"), { recursive: true });
    await run("sh", ["-ec", COPY_PACKAGES], { cwd: root });
    for (const command of ["sh", "ls", "cat", "echo", "sleep", "true"]) {
      await symlink("busybox", join(root, "bin", command));
    }
    await writeFile(join(root, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
    return await importDirectory(root, "musl");
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (address === null || typeof address === "string") throw new Error("no free port");
  return address.port;
}

export interface Registry extends AsyncDisposable {
  /** "127.0.0.1:40123" */
  host: string;
}

/** Debian's docker-registry on loopback, which daemons take without TLS. */
export async function startRegistry(): Promise<Registry> {
  const directory = await mkdtemp(join(tmpdir(), "insien-test-registry-"));
  const host = `127.0.0.1:${await freePort()}`;
  const configuration = `version: 0.1
log: { level: error }
storage: { filesystem: { rootdirectory: ${directory}/data } }
http: { addr: ${host} }
`;
  await writeFile(join(directory, "config.yml"), configuration);
  const server = spawn("docker-registry", ["serve", join(directory, "config.yml")], {
    stdio: "ignore",
  });
  await waitFor(async () => (await fetch(`http://${host}/v2/`)).ok, { describe: "the registry" });
  return {
    host,
    async [Symbol.asyncDispose]() {
      server.kill();
      await once(server, "exit");
      await rm(directory, { recursive: true });
    },
  };
}

/** Tags, pushes, and then removes the image from this host. Gives the name to pull. */
export async function pushAndForget(registry: Registry, reference: string): Promise<string> {
  const name = `${registry.host}/${reference.split(":")[0]}`;
  await docker.getImage(reference).tag({ repo: name, tag: "1" });
  const pushed = docker.getImage(`${name}:1`);
  await drain(await pushed.push({ authconfig: { username: "", password: "" } }));
  await docker.getImage(reference).remove();
  await pushed.remove();
  return `${name}:1`;
}

export async function removeImage(reference: string): Promise<void> {
  await docker
    .getImage(reference)
    .remove({ force: true })
    .catch(() => undefined);
}
