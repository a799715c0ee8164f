/** `sandbox.files`: the sandbox's file system. Relative paths start at the sandbox's home. */
import { CLIENT_LIMITS as LIMITS } from "@insien/protocol/client-limits";
import type { FileInfo, RpcAnswers, RpcType, SearchMatch } from "@insien/protocol";
import { toBase64 } from "../base64.ts";
import type { RequestOptions } from "../configuration.ts";
import { SandboxError } from "../errors.ts";
import type { HttpBody, LocalFile } from "../platform/platform.ts";
import type { RpcFields } from "../rpc/rpc-connection.ts";
import type { SessionSource } from "../session.ts";
import {
  openArchive,
  saveArchive,
  unpackArchive,
  type ArchiveOptions,
  type UnpackOptions,
} from "./archives.ts";
import { download, downloadTo, upload, type ByteRange } from "./file-transfer.ts";
import { WatchHandle, type WatchOptions } from "./watch-handle.ts";

/** What a file can be written from. A stream in Node is read as it is sent. */
export type FileContent = Exclude<HttpBody, LocalFile> | ArrayBuffer;

export interface ReadOptions extends RequestOptions {
  range?: ByteRange | undefined;
}

export interface WriteOptions extends RequestOptions {
  /** Permission bits of a new file, such as 0o755. */
  mode?: number | undefined;
  /** Who owns a new file. */
  user?: string | undefined;
}

export interface ListOptions extends RequestOptions {
  /** How many levels to go down; 1 (the default) is the directory itself. */
  depth?: number | undefined;
  limit?: number | undefined;
}

export interface PlaceOptions extends RequestOptions {
  /** Replace what is there; otherwise `file_exists`. */
  overwrite?: boolean | undefined;
}

export interface SearchOptions extends RequestOptions {
  /** The pattern is a JavaScript regular expression. */
  regex?: boolean | undefined;
  ignoreCase?: boolean | undefined;
  /** Only files with such names, for example "*.ts". */
  glob?: string | undefined;
  limit?: number | undefined;
}

export class Files {
  readonly #session: SessionSource;

  constructor(session: SessionSource) {
    this.#session = session;
  }

  /** A file as text (UTF-8). Throws `file_not_found`. */
  async read(path: string, options: ReadOptions = {}): Promise<string> {
    if (options.range === undefined) {
      try {
        return (await this.#call("read", { path }, options)).content;
      } catch (error) {
        // Too long for one message: it comes as a download.
        if (!(error instanceof SandboxError) || error.code !== "payload_too_large") throw error;
      }
    }
    return new TextDecoder().decode(await this.readBytes(path, options));
  }

  async readBytes(path: string, options: ReadOptions = {}): Promise<Uint8Array> {
    const answer = await download(await this.#session(options), path, options);
    return answer.bytes();
  }

  /** A file of any size as it arrives. */
  async readStream(path: string, options: ReadOptions = {}): Promise<ReadableStream<Uint8Array>> {
    return (await download(await this.#session(options), path, options)).stream();
  }

  /** Replaces or makes a file, whole or not at all; missing directories are made. */
  async write(path: string, content: FileContent, options: WriteOptions = {}): Promise<void> {
    const body = content instanceof ArrayBuffer ? new Uint8Array(content) : content;
    const small = smallContent(body);
    if (small === undefined) {
      await upload(await this.#session(options), path, body, options);
    } else {
      const { mode, user } = options;
      await this.#call("write", { path, ...small, mode, user }, options);
    }
  }

  /**
   * A local file into the sandbox, as `write` does it and much faster than through a stream. Where
   * there are no local files, in a browser, it throws `capability_missing`.
   */
  async upload(localPath: string, path: string, options: WriteOptions = {}): Promise<void> {
    await upload(await this.#session(options), path, { localPath }, options);
  }

  /**
   * A file of the sandbox into a local one, which is replaced. When it breaks off, what had come by
   * then is there. Throws `capability_missing` in a browser.
   */
  async download(path: string, localPath: string, options: RequestOptions = {}): Promise<void> {
    await downloadTo(await this.#session(options), path, localPath, options);
  }

  /** A folder as a tar (or zip) that is made as it is read; symbolic links stay links. */
  async readArchive(
    path: string,
    options: ArchiveOptions = {},
  ): Promise<ReadableStream<Uint8Array>> {
    const { api, id } = await this.#session(options);
    return openArchive(api, id, path, options);
  }

  /** A folder as a tar (or zip) into a local file. Throws `capability_missing` in a browser. */
  async downloadArchive(
    path: string,
    localPath: string,
    options: ArchiveOptions = {},
  ): Promise<void> {
    const { api, id } = await this.#session(options);
    await saveArchive(api, id, { folderPath: path, localPath }, options);
  }

  /** A folder as a zip into a local file. */
  async exportZip(path: string, localPath: string, options: RequestOptions = {}): Promise<void> {
    await this.downloadArchive(path, localPath, { ...options, format: "zip" });
  }

  /** Unpacks a tar below a directory, which is made where it is missing. */
  async writeArchive(path: string, tar: FileContent, options: UnpackOptions = {}): Promise<void> {
    const { api, id } = await this.#session(options);
    const content = tar instanceof ArrayBuffer ? new Uint8Array(tar) : tar;
    await unpackArchive(api, id, { directory: path, content }, options);
  }

  /** Unpacks a local tar below a directory. Throws `capability_missing` in a browser. */
  async uploadArchive(localPath: string, path: string, options: UnpackOptions = {}): Promise<void> {
    const { api, id } = await this.#session(options);
    await unpackArchive(api, id, { directory: path, content: { localPath } }, options);
  }

  /** Throws `file_not_found`. Symbolic links are followed unless told not to. */
  async stat(
    path: string,
    options: RequestOptions & { followSymlinks?: boolean | undefined } = {},
  ): Promise<FileInfo> {
    const { followSymlinks } = options;
    return (await this.#call("stat", { path, followSymlinks }, options)).file;
  }

  async exists(path: string, options: RequestOptions = {}): Promise<boolean> {
    try {
      await this.stat(path, options);
      return true;
    } catch (error) {
      if (error instanceof SandboxError && error.code === "file_not_found") return false;
      throw error;
    }
  }

  /** What a directory holds; `truncated` when there is more than the limit. */
  async list(path = ".", options: ListOptions = {}): Promise<RpcAnswers["listDirectory"]> {
    const { depth, limit } = options;
    const { entries, truncated } = await this.#call(
      "listDirectory",
      { path, depth, limit },
      options,
    );
    return { entries, truncated };
  }

  /** Makes a directory and its parents; `false` when it was there. */
  async makeDirectory(path: string, options: WriteOptions = {}): Promise<boolean> {
    const { mode, user } = options;
    return (await this.#call("makeDirectory", { path, mode, user }, options)).created;
  }

  async move(from: string, to: string, options: PlaceOptions = {}): Promise<void> {
    await this.#call("move", { from, to, overwrite: options.overwrite }, options);
  }

  /** Copies a file, or a directory with all it holds. */
  async copy(from: string, to: string, options: PlaceOptions = {}): Promise<void> {
    await this.#call("copy", { from, to, overwrite: options.overwrite }, options);
  }

  /** `false` when there was nothing. A directory that is not empty needs `recursive`. */
  async remove(
    path: string,
    options: RequestOptions & { recursive?: boolean | undefined } = {},
  ): Promise<boolean> {
    return (await this.#call("remove", { path, recursive: options.recursive }, options)).removed;
  }

  async chmod(
    path: string,
    mode: number,
    options: RequestOptions & { recursive?: boolean | undefined } = {},
  ): Promise<void> {
    await this.#call("chmod", { path, mode, recursive: options.recursive }, options);
  }

  /** Finds lines in the files below a path. */
  async search(
    path: string,
    pattern: string,
    options: SearchOptions = {},
  ): Promise<{ matches: SearchMatch[]; truncated: boolean }> {
    const { regex, ignoreCase, glob, limit } = options;
    const fields = { path, pattern, regex, ignoreCase, glob, limit };
    const { matches, truncated } = await this.#call("search", fields, options);
    return { matches, truncated };
  }

  /** Tells of changes below a path until the handle is stopped. */
  async watch(path: string, options: WatchOptions): Promise<WatchHandle> {
    return WatchHandle.open((await this.#session(options)).rpc, path, options);
  }

  async #call<Type extends RpcType>(
    type: Type,
    fields: RpcFields<Type>,
    options: RequestOptions,
  ): Promise<RpcAnswers[Type]> {
    return (await this.#session(options)).rpc.call(type, fields, options);
  }
}

/** Content that travels inside one message; anything larger, or of unknown size, is uploaded. */
function smallContent(
  content: HttpBody,
): { content: string; encoding: "utf8" | "base64" } | undefined {
  const limit = LIMITS.sdkInlineBytes.value;
  if (typeof content === "string") {
    return content.length <= limit / 3 ? { content, encoding: "utf8" } : undefined;
  }
  if (!(content instanceof Uint8Array) || content.byteLength > limit) return undefined;
  return { content: toBase64(content), encoding: "base64" };
}
