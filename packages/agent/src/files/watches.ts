import { lstat } from "node:fs/promises";
import { dirname } from "node:path";
import { InsienError, LIMITS, newId } from "@insien/protocol";
import type { RpcConnection, RpcHandlers } from "../rpc/connection.ts";
import { resolvePath } from "./sandbox-path.ts";
import { namingPath } from "./file-error.ts";
import { WatchedTree, type TreeEvents } from "./watched-tree.ts";
import type { FileContext } from "./file-context.ts";

interface Watch {
  connection: RpcConnection;
  close(): void;
}

/** Tells one connection; while it does not read, events are dropped and it is told so once. */
function teller(
  watchId: string,
  path: string,
  options: { isFile: boolean; connection: RpcConnection; onEnd: () => void },
): TreeEvents {
  const { connection, isFile } = options;
  let isBehind = false;
  const overflow = (): void => {
    if (isBehind) return;
    isBehind = true;
    connection.drained().then(
      () => {
        isBehind = false;
        connection.notify({ type: "watchOverflow", watchId });
      },
      () => undefined,
    );
  };
  return {
    overflow,
    event(event, changed, isDirectory) {
      if (isFile && changed !== path) return;
      if (connection.congested || isBehind) overflow();
      else connection.notify({ type: "fileEvent", watchId, event, path: changed, isDirectory });
    },
    end() {
      options.onEnd();
      const error = new InsienError("file_not_found", `${path} is no longer there`).toBody();
      connection.notify({ type: "watchEnd", watchId, error });
    },
  };
}

/** Answers to `watch` and `unwatch`. A watch ends with the connection that asked for it. */
export function watchHandlers(context: FileContext): RpcHandlers<"watch" | "unwatch"> {
  const watches = new Map<string, Watch>();

  const close = (watchId: string): boolean => {
    const watch = watches.get(watchId);
    watches.delete(watchId);
    watch?.close();
    return watch !== undefined;
  };

  const open = async (path: string, recursive: boolean, connection: RpcConnection) => {
    const watchId = newId();
    const opening = new AbortController();
    const leave = (): void => void close(watchId);
    watches.set(watchId, { connection, close: () => opening.abort() });
    connection.signal.addEventListener("abort", leave, { once: true });
    try {
      const isFile = !(await lstat(path)).isDirectory();
      const events = teller(watchId, path, { isFile, connection, onEnd: leave });
      // A file is watched through its directory, since editors put a new file in its place.
      const root = isFile ? dirname(path) : path;
      const tree = await WatchedTree.open(root, { recursive: recursive && !isFile }, events);
      const stop = (): void => {
        connection.signal.removeEventListener("abort", leave);
        tree[Symbol.dispose]();
      };
      if (opening.signal.aborted) stop();
      else watches.set(watchId, { connection, close: stop });
      return { watchId };
    } catch (error) {
      connection.signal.removeEventListener("abort", leave);
      close(watchId);
      throw error;
    }
  };

  return {
    watch: (request, connection) => {
      const path = resolvePath(request.path, context.home);
      if (watches.size >= LIMITS.watchesPerSandbox.value) {
        throw new InsienError(
          "limit_reached",
          `${watches.size} watches are open, which is the most`,
        );
      }
      return namingPath(path, () => open(path, request.recursive ?? false, connection));
    },
    unwatch: ({ watchId }, connection) => {
      const isOurs = watches.get(watchId)?.connection === connection;
      return { removed: isOurs && close(watchId) };
    },
  };
}
