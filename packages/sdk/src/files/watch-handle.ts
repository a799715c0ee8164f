/** `files.watch`: changes below a path, until stopped. */
import type { RpcNotice } from "@insien/protocol";
import type { RequestOptions } from "../configuration.ts";
import { errorFromBody } from "../errors.ts";
import { ResumableStream, streamRequest, type StreamDefinition } from "../rpc/resumable-stream.ts";
import type { RpcClient } from "../rpc/rpc-client.ts";

export interface FileEvent {
  event: "create" | "modify" | "remove";
  path: string;
  isDirectory: boolean;
}

export interface WatchOptions extends RequestOptions {
  /** Directories below as well. */
  recursive?: boolean | undefined;
  onEvent: (event: FileEvent) => void;
  /** Events were lost, for example while the connection was: list again. */
  onOverflow?: (() => void) | undefined;
}

export class WatchHandle {
  /** Resolves when the watch was stopped; rejects with what ended it otherwise. */
  readonly ended: Promise<void>;
  readonly #stream: ResumableStream;

  private constructor(stream: ResumableStream) {
    this.#stream = stream;
    this.ended = stream.ended;
  }

  static async open(client: RpcClient, path: string, options: WatchOptions): Promise<WatchHandle> {
    return new WatchHandle(await ResumableStream.open(client, definition(path, options), options));
  }

  stop(): void {
    this.#stream.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
  }
}

function definition(path: string, options: WatchOptions): StreamDefinition {
  let watchId: string | undefined;
  const request = (opened: () => void) =>
    streamRequest("watch", { path, recursive: options.recursive }, (answer) => {
      watchId = answer.watchId;
      opened();
    });
  return {
    first: request(() => undefined),
    resume: () => request(() => options.onOverflow?.()),
    frame: () => undefined,
    notice: (notice: RpcNotice) => {
      if (!("watchId" in notice) || notice.watchId !== watchId) return "more";
      if (notice.type === "watchOverflow") options.onOverflow?.();
      if (notice.type === "fileEvent") {
        const { event, path: changed, isDirectory = false } = notice;
        options.onEvent({ event, path: changed, isDirectory });
      }
      if (notice.type !== "watchEnd") return "more";
      if (notice.error !== undefined) throw errorFromBody(notice.error);
      return "end";
    },
  };
}
