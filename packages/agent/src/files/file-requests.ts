import type { IncomingMessage, ServerResponse } from "node:http";
import { InsienError } from "@insien/protocol";
import { answerError } from "../error-answer.ts";
import { FILE_QUERY_SHAPE } from "../rpc/request-shapes.ts";
import { mismatch } from "../rpc/shape.ts";
import { download } from "./download.ts";
import { ConfinedPath } from "./confined-path.ts";
import { ownerFor, type FileContext } from "./file-context.ts";
import { namingPath } from "./file-error.ts";
import { openRegularFile, type OpenedFile } from "./regular-file.ts";
import { resolvePath } from "./sandbox-path.ts";
import type { MakeOptions } from "./atomic-file.ts";
import { bodyOf, upload } from "./upload.ts";

interface FileQuery {
  path: string;
  mode?: number;
  user?: string;
  root?: string;
}

function queryOf(request: IncomingMessage): FileQuery {
  const { searchParams } = new URL(request.url ?? "/", "http://agent");
  const query = Object.fromEntries(searchParams);
  const wrong = mismatch(FILE_QUERY_SHAPE, query);
  if (wrong !== undefined) {
    const { field, message } = wrong;
    throw new InsienError("invalid_request", `${field} ${message}`, { details: { field } });
  }
  const { path = "", mode, user, root } = query;
  return {
    path,
    ...(mode === undefined ? {} : { mode: Number.parseInt(mode, 8) }),
    ...(user === undefined ? {} : { user }),
    ...(root === undefined ? {} : { root }),
  };
}

async function answerUpload(
  request: IncomingMessage,
  response: ServerResponse,
  context: FileContext,
): Promise<void> {
  const content = await bodyOf(request, response);
  const query = queryOf(request);
  const path = resolvePath(query.path, context.home);
  const owner = await ownerFor(context, query.user);
  const size = await (query.root === undefined
    ? upload(content, path, { mode: query.mode, owner })
    : uploadBelow(query.root, content, path, { mode: query.mode, owner }));
  const body = JSON.stringify({ path, size });
  response.writeHead(200, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
  });
  response.end(body);
}

async function uploadBelow(
  root: string,
  content: Awaited<ReturnType<typeof bodyOf>>,
  path: string,
  options: MakeOptions,
): Promise<number> {
  const makesMissing = { owner: options.owner };
  await using place = await namingPath(path, () => ConfinedPath.open(path, root, { makesMissing }));
  return await upload(content, path, { ...options, heldAt: place.at });
}

async function openBelow(root: string, path: string): Promise<OpenedFile> {
  await using place = await namingPath(path, () => ConfinedPath.open(path, root));
  return await openRegularFile(place.at, { followSymlinks: false, shownPath: path });
}

async function answerDownload(
  request: IncomingMessage,
  response: ServerResponse,
  context: FileContext,
): Promise<void> {
  const { path: given, root } = queryOf(request);
  const path = resolvePath(given, context.home);
  const file = await (root === undefined ? openRegularFile(path) : openBelow(root, path));
  await download(request, response, file, path);
}

/**
 * `/files?path=` on the line: GET (one range), HEAD, and PUT (`&mode=` octal, `&user=`), which
 * answers `{ path, size }`. With `&root=` nothing outside of that directory is reached. Errors are `{ error: ErrorBody }`; nothing is thrown.
 */
export async function handleFiles(
  request: IncomingMessage,
  response: ServerResponse,
  context: FileContext,
): Promise<void> {
  try {
    if (request.method === "PUT") {
      await answerUpload(request, response, context);
    } else if (request.method === "GET" || request.method === "HEAD") {
      await answerDownload(request, response, context);
    } else {
      response.setHeader("Allow", "GET, HEAD, PUT");
      throw new InsienError("route_not_found", `/files does not take ${request.method}`);
    }
  } catch (error) {
    // The rest of a refused upload is read and thrown away: a sender reads the answer only then.
    request.resume();
    answerError(response, error);
  }
}
