/**
 * What a machine sees of the host's system: `/usr` and its companions read-only, and an `/etc` of
 * our own making that copies only what programs need and nobody would mind showing.
 */
import { createHash } from "node:crypto";
import { cp, lstat, mkdir, readdir, readlink, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { newId } from "@insien/protocol";
import { RESOLVER_ADDRESS } from "./network.ts";

export const USER = { name: "user", id: 1000, home: "/home/user" };
/** The same in all machines: a machine in the pool does not know yet what it will be called. */
export const HOSTNAME = "sandbox";

const TOP_DIRECTORIES = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/** Copied from the host's /etc where present. Nothing that could hold a secret. */
const COPIED = [
  "alternatives",
  "debian_version",
  "fonts",
  "ld.so.cache",
  "ld.so.conf",
  "ld.so.conf.d",
  "localtime",
  "magic",
  "mime.types",
  "os-release",
  "perl",
  "pki/ca-trust/extracted",
  "pki/tls/cert.pem",
  "pki/tls/certs",
  "protocols",
  "rpc",
  "services",
  "ssl/certs",
  "ssl/cert.pem",
  "ssl/openssl.cnf",
  "terminfo",
  "timezone",
];

/** One directory per version, which the interpreter reads at its start. */
const COPIED_PATTERN = /^python3(\.\d+)?$/;

const WRITTEN: Record<string, string> = {
  passwd: `root:x:0:0:root:/root:/usr/sbin/nologin
${USER.name}:x:${USER.id}:${USER.id}::${USER.home}:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
`,
  group: `root:x:0:\n${USER.name}:x:${USER.id}:\nnogroup:x:65534:\n`,
  hosts: `127.0.0.1 localhost ${HOSTNAME}\n::1 localhost ${HOSTNAME}\n`,
  hostname: `${HOSTNAME}\n`,
  "resolv.conf": `nameserver ${RESOLVER_ADDRESS}\noptions timeout:2 attempts:2\n`,
  "nsswitch.conf":
    "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
  profile: 'export PATH="${PATH:-/usr/local/bin:/usr/bin:/bin}"\n',
  shells: "/bin/sh\n/bin/bash\n",
};

/** bwrap's arguments for `/usr` and what stands beside it: links or directories, as on the host. */
export async function systemArguments(): Promise<string[]> {
  const parameters = ["--ro-bind", "/usr", "/usr"];
  for (const name of TOP_DIRECTORIES) {
    const found = await lstat(`/${name}`).catch(() => undefined);
    if (found?.isSymbolicLink())
      parameters.push("--symlink", await readlink(`/${name}`), `/${name}`);
    if (found?.isDirectory()) parameters.push("--ro-bind", `/${name}`, `/${name}`);
  }
  return parameters;
}

/** Makes the machines' `/etc` and returns its path, which changes with its contents. */
export async function prepareEtc(dataDirectory: string): Promise<string> {
  const path = join(dataDirectory, `etc-${await etcFingerprint()}`);
  if (await exists(path)) return path;
  const temporary = `${path}.${newId()}`;
  await mkdir(temporary, { recursive: true, mode: 0o755 });
  for (const name of await copiedNames()) await copyFromHost(name, temporary);
  for (const [name, content] of Object.entries(WRITTEN)) {
    await writeFile(join(temporary, name), content, { mode: 0o644 });
  }
  await rename(temporary, path).catch(async (error: unknown) => {
    // Another instance was quicker; its copy is the same.
    await rm(temporary, { recursive: true, force: true });
    if (!(await exists(path))) throw error;
  });
  return path;
}

/** Of everything that machines get from the host: new certificates or libraries change it. */
export async function etcFingerprint(): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify([COPIED, WRITTEN]));
  for (const name of await copiedNames()) {
    const found = await stat(`/etc/${name}`).catch(() => undefined);
    hash.update(`${name} ${found?.mtimeMs ?? "absent"}\n`);
  }
  return hash.digest("hex").slice(0, 16);
}

async function copiedNames(): Promise<string[]> {
  const names = await readdir("/etc").catch(() => []);
  return [...COPIED, ...names.filter((name) => COPIED_PATTERN.test(name)).toSorted()];
}

async function copyFromHost(name: string, target: string): Promise<void> {
  const destination = join(target, name);
  await mkdir(dirname(destination), { recursive: true, mode: 0o755 });
  // Links stay links: they point into /usr, which the machine sees.
  await cp(`/etc/${name}`, destination, { recursive: true, verbatimSymlinks: true }).catch(() => {
    // Absent on this distribution, or not for our eyes.
  });
}

const exists = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );
