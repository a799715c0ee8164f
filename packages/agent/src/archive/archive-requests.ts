import { realpath } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { InsienError, LIMITS } from "@insien/protocol";
import { namingPath } from "../files/file-error.ts";
import { ownerFor, type FileContext } from "../files/file-context.ts";
import { resolvePath } from "../files/sandbox-path.ts";
import { mismatch, type Shape } from "../rpc/shape.ts";
import { ArchiveSink } from "./archive-sink.ts";
import { archiveEntries } from "./folder-walk.ts";
import { TarWriter } from "./tar-writer.ts";
import { unpackTar } from "./unpack.ts";
import { ZipWriter } from "./zip-writer.ts";

const QUERY_SHAPE: Shape = {
  type: "object",
  required: ["path"],
  properties: {
    path: { type: "string", minLength: 1, maxLength: LIMITS.pathBytes.value },
    format: { type: "string", enum: ["zip", "tar"] },
    user: { type: "string", minLength: 1, maxLength: 64 },
  },
};

interface ArchiveQuery {
  path: string;
  format: "zip" | "tar" | undefined;
  user: string | undefined;
}

function queryOf(request: IncomingMessage): ArchiveQuery {
  const { searchParams } = new URL(request.url ?? "/", "http://agent");
  const query = Object.fromEntries(searchParams);
  const wrong = mismatch(QUERY_SHAPE, query);
  if (wrong !== undefined) {
    const { field, message } = wrong;
    throw new InsienError("invalid_request", `${field} ${message}`, { details: { field } });
  }
  const { path = "", format, user } = query;
  return { path, format: format === "zip" || format === "tar" ? format : undefined, user };
}

async function answerExport(
  request: IncomingMessage,
  response: ServerResponse,
  context: FileContext,
): Promise<void> {
  const { path, format = "zip" } = queryOf(request);
  const wanted = resolvePath(path, context.home);
  await namingPath(wanted, async () => {
    const root = await realpath(wanted);
    const sink = new ArchiveSink(response, `application/${format === "zip" ? "zip" : "x-tar"}`);
    const writer = format === "zip" ? new ZipWriter(sink) : new TarWriter(sink);
    for await (const entry of archiveEntries(root)) await writer.add(entry);
    await writer.end();
  });
}

async function answerUnpack(
  request: IncomingMessage,
  response: ServerResponse,
  context: FileContext,
): Promise<void> {
  const { path, format = "tar", user } = queryOf(request);
  if (format !== "tar") {
    throw new InsienError("invalid_request", "only a tar can be unpacked: send format=tar", {
      details: { field: "format" },
    });
  }
  const target = resolvePath(path, context.home);
  const owner = await ownerFor(context, user);
  const unpacked = await unpackTar(request.iterator({ destroyOnReturn: false }), target, owner);
  const body = JSON.stringify({ path: target, ...unpacked });
  response.writeHead(200, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
  });
  response.end(body);
}

/**
 * `/archive?path=` on the line. GET (`&format=zip|tar`, zip by default) gives a folder, its entries
 * named from it, or one file. Links stay links; sockets, pipes and devices, the kernel's own file
 * systems and the agent's files are left out. An error before the first bytes is answered; one that
 * comes later, such as a file that may not be read, cuts the answer. PUT (`&format=tar`, `&user=`)
 * unpacks into a folder, made where it is missing, and answers `{ path, entries, size }`.
 */
export async function handleArchive(
  request: IncomingMessage,
  response: ServerResponse,
  context: FileContext,
): Promise<void> {
  if (request.method === "GET") return answerExport(request, response, context);
  if (request.method === "PUT") return answerUnpack(request, response, context);
  response.setHeader("Allow", "GET, PUT");
  throw new InsienError("route_not_found", `/archive does not take ${request.method}`);
}
