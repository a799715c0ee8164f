import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { InsienError } from "@insien/protocol";
import type { RpcConnection } from "../src/rpc/connection.ts";
import type { FileContext } from "../src/files/index.ts";

export interface Home extends FileContext, AsyncDisposable {
  at(path: string): string;
}

/** A home directory of its own for one test. As root, what is made there belongs to uid 1000. */
export async function makeHome(): Promise<Home> {
  const home = await mkdtemp(join(tmpdir(), "insien-files-"));
  return {
    home,
    at: (path) => join(home, path),
    resolveUser: (name) => (name === "root" ? { uid: 0, gid: 0 } : { uid: 1000, gid: 1000 }),
    [Symbol.asyncDispose]: () => rm(home, { recursive: true, force: true }),
  };
}

/** For handlers that never look at their connection. */
export const noConnection: RpcConnection = {
  signal: new AbortController().signal,
  nextChannel: () => 1,
  notify: () => undefined,
  sendBytes: () => undefined,
  congested: false,
  drained: async () => undefined,
  holdReading: () => undefined,
};

/** The code and message of the error that `action` throws. */
export async function failure(action: () => unknown): Promise<{ code: string; message: string }> {
  try {
    await action();
  } catch (error) {
    const { code, message } = error as InsienError;
    return { code, message };
  }
  throw new Error("nothing was thrown");
}
