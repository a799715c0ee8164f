import type { IncomingMessage, ServerResponse } from "node:http";
import { InsienError } from "@insien/protocol";
import { answerError } from "../error-answer.ts";
import { FILE_QUERY_SHAPE } from "../rpc/request-shapes.ts";
import { mismatch } from "../rpc/shape.ts";
import { download } from "./download.ts";
import { ownerFor, type FileContext } from "./file-context.ts";
import { resolvePath } from "./sandbox-path.ts";
import { bodyOf, upload } from "./upload.ts";

function queryOf(request: IncomingMessage): { path: string; mode?: number; user?: string } {
  const { searchParams } = new URL(request.url ?? "/", "http://agent");
  const query = Object.fromEntries(searchParams);
  const wrong = mismatch(FILE_QUERY_SHAPE, query);
  if (wrong !== undefined) {
    const { field, message } = wrong;
    throw new InsienError("invalid_request", `${field} ${message}`, { details: { field } });
  }
  const { path = "", mode, user } = query;
  return {
    path,
    ...(mode === undefined ? {} : { mode: Number.parseInt(mode, 8) }),
    ...(user === undefined ? {} : { user }),
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
  const size = await upload(content, path, { mode: query.mode, owner });
  const body = JSON.stringify({ path, size });
  response.writeHead(200, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
  });
  response.end(body);
}

/**
 * `/files?path=` on the line: GET (one range), HEAD, and PUT (`&mode=` octal, `&user=`), which
 * answers `{ path, size }`. Errors are `{ error: ErrorBody }`; nothing is thrown.
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
      await download(request, response, resolvePath(queryOf(request).path, context.home));
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
