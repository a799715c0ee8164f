/** Creating a sandbox and hearing how it goes: images that are pulled, steps that are built. */
import type { ApiClient, ApiRequest } from "./api-client.ts";
import type { RequestOptions } from "./configuration.ts";
import { withDeadline } from "./deadline.ts";
import { connectionLost, errorFromUnknown, sandboxError } from "./errors.ts";
import { sandboxInfo, type SandboxInfo } from "./sandbox-info.ts";
import { JSON_LINES, jsonLines } from "./wire/json-lines.ts";
import { anything, number, object, oneOf, optional, text } from "./wire/shape.ts";

export interface CreateProgress {
  /** What is under way, such as "pull" or "build". */
  step: string;
  /** How much of `total` is done, where that is known. */
  current?: number | undefined;
  total?: number | undefined;
  /** A line of a build's output, or a sentence. */
  message?: string | undefined;
}

export interface CreateOptions extends RequestOptions {
  onProgress?: ((progress: CreateProgress) => void) | undefined;
}

const progressLine = object({
  type: oneOf("progress", "sandbox", "error"),
  step: optional(text),
  current: optional(number()),
  total: optional(number()),
  message: optional(text),
  sandbox: optional(sandboxInfo),
  /** As errors are everywhere: read by `errorFromUnknown`. */
  error: optional(anything),
});

/** As a create without progress, with `onProgress` called for each step. */
export async function createWithProgress(
  api: ApiClient,
  path: string,
  call: Omit<ApiRequest, "body"> & { json: unknown },
  onProgress: (progress: CreateProgress) => void,
): Promise<SandboxInfo> {
  const { json, requestTimeoutMs, signal: outer, ...rest } = call;
  const what = `POST ${path}`;
  return withDeadline({ what, signal: outer, timeoutMs: requestTimeoutMs }, async (signal) => {
    const headers = { "content-type": "application/json", accept: JSON_LINES };
    const body = JSON.stringify(json);
    const answer = await api.send("POST", path, { ...rest, headers, body, signal });
    for await (const line of jsonLines(answer.stream(), progressLine, what)) {
      const { type, sandbox, error, step = "", current, total, message } = line;
      if (type === "sandbox" && sandbox !== undefined) return sandbox;
      if (type === "error") {
        throw (
          errorFromUnknown(error) ?? sandboxError("internal", `${what} failed without a reason`)
        );
      }
      onProgress({ step, current, total, message });
    }
    throw connectionLost(what, true);
  });
}
