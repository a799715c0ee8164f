import { Sandbox, SandboxClient, type SandboxInfo } from "@insien/sandbox";
import type { Command } from "commander";
import { findServer, type ConnectionFlags, type ServerAddress } from "./connection.ts";
import { missing, UsageError } from "./usage-error.ts";

const WHOLE_ID = /^[a-z0-9]{20}$/;

/** The server that the command line or the environment names. */
export const serverOf = (command: Command): Promise<ServerAddress> =>
  findServer(command.optsWithGlobals<ConnectionFlags>());

/** Sandboxes are meant by id, by the beginning of an id, or by name, as people type them. */
export async function sandboxOf(command: Command, reference: string): Promise<Sandbox> {
  const server = await serverOf(command);
  return Sandbox.connect(await sandboxIdOf(server, reference), server);
}

/** Throws `UsageError` when nothing, or more than one sandbox, is meant. */
export async function sandboxIdOf(server: ServerAddress, reference: string): Promise<string> {
  if (WHOLE_ID.test(reference)) return reference;
  const matches: SandboxInfo[] = [];
  for await (const sandbox of Sandbox.list(server)) {
    if (sandbox.name === reference || sandbox.id.startsWith(reference)) matches.push(sandbox);
  }
  const named = matches.filter(({ name }) => name === reference);
  const [only, ...others] = named.length > 0 ? named : matches;
  if (only === undefined) {
    throw missing(
      `No sandbox has the name or id '${reference}'.`,
      "See `insien ls` for those there are.",
    );
  }
  if (others.length === 0) return only.id;
  const ids = [only, ...others].slice(0, 8).map(({ id }) => id);
  throw new UsageError(
    `'${reference}' means ${others.length + 1} sandboxes: ${ids.join(", ")}${others.length > 7 ? ", ..." : ""}.`,
    named.length > 0 ? "They have the same name: write the id." : "Write more of the id.",
  );
}

/** For what belongs to an account and not to one sandbox. */
export async function clientOf(command: Command): Promise<SandboxClient> {
  const { apiUrl, apiKey } = await serverOf(command);
  return new SandboxClient(apiUrl, { apiKey });
}
