import { InsienError, LIMITS, type RpcAnswers, type RpcRequests } from "@insien/protocol";
import type { RpcHandlers } from "../rpc/connection.ts";
import { makeDirectories, writeFileAtomically } from "./atomic-file.ts";
import { ConfinedPath } from "./confined-path.ts";
import { listDirectory } from "./directory-listing.ts";
import { ownerFor, type FileContext } from "./file-context.ts";
import { namingPath } from "./file-error.ts";
import { fileInfo } from "./file-info.ts";
import { changeMode, copyTree, moveTree, removeTree } from "./file-tree.ts";
import { openRegularFile, readWholeFile } from "./regular-file.ts";
import { resolvePath } from "./sandbox-path.ts";
import { search } from "./search.ts";

type FileTypes =
  | "write"
  | "read"
  | "stat"
  | "listDirectory"
  | "makeDirectory"
  | "move"
  | "copy"
  | "remove"
  | "chmod"
  | "search";

async function write(
  request: RpcRequests["write"],
  context: FileContext,
): Promise<RpcAnswers["write"]> {
  const path = resolvePath(request.path, context.home);
  const content = Buffer.from(request.content, request.encoding ?? "utf8");
  if (content.length > LIMITS.fileInlineBytes.value) {
    throw new InsienError(
      "payload_too_large",
      `${content.length} bytes for ${path} are an upload`,
      {
        details: { limitBytes: LIMITS.fileInlineBytes.value },
      },
    );
  }
  const owner = await ownerFor(context, request.user);
  await writeFileAtomically(path, content, { mode: request.mode, owner });
  return { success: true, path: request.path, size: content.length };
}

async function read(
  request: RpcRequests["read"],
  context: FileContext,
): Promise<RpcAnswers["read"]> {
  const path = resolvePath(request.path, context.home);
  const { encoding = "utf8" } = request;
  return namingPath(path, async () => {
    const file = await openRegularFile(path);
    try {
      const content = await readWholeFile(file, path);
      const size = content.length;
      return { content: content.toString(encoding), path: request.path, size, encoding };
    } finally {
      await file.handle.close();
    }
  });
}

async function makeDirectory(
  request: RpcRequests["makeDirectory"],
  context: FileContext,
): Promise<RpcAnswers["makeDirectory"]> {
  const path = resolvePath(request.path, context.home);
  const owner = await ownerFor(context, request.user);
  const { mode, root } = request;
  const created = await namingPath(path, async () => {
    if (root === undefined) return makeDirectories(path, { mode, owner });
    await using place = await ConfinedPath.open(path, root, { makesMissing: { owner } });
    return await place.makeDirectory(owner, mode);
  });
  return { created, path };
}

/** Which of the two paths an error is about: the source when that is what is missing. */
async function place(
  kind: "move" | "copy",
  request: RpcRequests["move"] | RpcRequests["copy"],
  context: FileContext,
): Promise<{ path: string }> {
  const from = resolvePath(request.from, context.home);
  const to = resolvePath(request.to, context.home);
  const owner = await ownerFor(context);
  await namingPath(from, () => fileInfo(from));
  await namingPath(to, () =>
    (kind === "move" ? moveTree : copyTree)(from, to, {
      overwrite: request.overwrite,
      owner,
    }),
  );
  return { path: to };
}

async function remove(
  request: RpcRequests["remove"],
  context: FileContext,
): Promise<RpcAnswers["remove"]> {
  const path = resolvePath(request.path, context.home);
  return namingPath(path, async () => ({ removed: await removeTree(path, request) }));
}

/** Answers to the calls that act on files and end at once. */
export function fileHandlers(context: FileContext): RpcHandlers<FileTypes> {
  return {
    write: (request) => write(request, context),
    read: (request) => read(request, context),
    stat: async (request) => {
      const path = resolvePath(request.path, context.home);
      return { file: await namingPath(path, () => fileInfo(path, request)) };
    },
    listDirectory: async (request) => {
      const path = resolvePath(request.path, context.home);
      return namingPath(path, () => listDirectory(path, request));
    },
    makeDirectory: (request) => makeDirectory(request, context),
    move: (request) => place("move", request, context),
    copy: (request) => place("copy", request, context),
    remove: (request) => remove(request, context),
    chmod: async (request) => {
      const path = resolvePath(request.path, context.home);
      await namingPath(path, () => changeMode(path, request.mode, request));
      return { path };
    },
    search: async (request, { signal }) => {
      const path = resolvePath(request.path, context.home);
      return namingPath(path, () => search(path, request, signal));
    },
  };
}
