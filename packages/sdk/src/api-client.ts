/** REST calls: adds the key, bounds the time, turns error answers into errors. */
import { platform } from "#platform";
import type { Configuration, RequestOptions } from "./configuration.ts";
import { withDeadline } from "./deadline.ts";
import { errorFromText, SandboxError, sandboxError } from "./errors.ts";
import type { HttpAnswer, HttpRequest } from "./platform/platform.ts";
import { answerOf, anything, optional, record, type Shape } from "./wire/shape.ts";

export interface ApiRequest extends RequestOptions {
  query?: Record<string, string | number | undefined>;
  headers?: Record<string, string>;
  body?: HttpRequest["body"];
  saveTo?: HttpRequest["saveTo"];
  /** Sent again when the connection broke under it: doing it twice is doing it once. */
  repeatable?: boolean;
}

/** Methods that are repeatable whatever they are about. */
const REPEATABLE: ReadonlySet<string> = new Set(["GET", "HEAD"]);

/** `{ "deleted": true }` or the like: routes name it after what they do. */
const removed = optional(record(anything));

export class ApiClient {
  readonly configuration: Configuration;

  constructor(configuration: Configuration) {
    this.configuration = configuration;
  }

  /** Sends JSON (when there is a body) and reads JSON of the shape that is expected. */
  async json<Answer>(
    method: HttpRequest["method"],
    path: string,
    options: Omit<ApiRequest, "body"> & { json?: unknown; answer: Shape<Answer> },
  ): Promise<Answer> {
    const { json, answer: shape, ...rest } = options;
    const body = json === undefined ? undefined : JSON.stringify(json);
    const headers = body === undefined ? {} : { "content-type": "application/json" };
    const timeoutMs = options.requestTimeoutMs ?? this.configuration.requestTimeoutMs;
    const what = `${method} ${path}`;
    return withDeadline({ what, signal: options.signal, timeoutMs }, async (signal) => {
      const answer = await this.send(method, path, { ...rest, headers, body, signal });
      const text = new TextDecoder().decode(await answer.bytes());
      return answerOf(shape, parseJson(text, what), what);
    });
  }

  /** `false` when it was gone already, which is what `absence` is the code of. */
  async remove(
    path: string,
    absence: string | undefined,
    options: RequestOptions,
  ): Promise<boolean> {
    const { signal, requestTimeoutMs } = options;
    try {
      const answer = await this.json("DELETE", path, { signal, requestTimeoutMs, answer: removed });
      return !Object.values(answer ?? {}).includes(false);
    } catch (error) {
      if (error instanceof SandboxError && error.code === absence) return false;
      throw error;
    }
  }

  /**
   * As `send`, with the time limit for the answer's head. The body has none: how long it takes is its
   * reader's affair; the signal ends it.
   */
  async open(
    method: HttpRequest["method"],
    path: string,
    options: ApiRequest,
  ): Promise<HttpAnswer> {
    const { signal } = options;
    const body = new AbortController();
    const end = (): void => body.abort(signal?.reason);
    signal?.addEventListener("abort", end, { once: true });
    const timeoutMs = options.requestTimeoutMs ?? this.configuration.requestTimeoutMs;
    return withDeadline({ what: `${method} ${path}`, signal, timeoutMs }, (until) => {
      until.addEventListener("abort", () => body.abort(until.reason), { once: true });
      return this.send(method, path, { ...options, signal: body.signal });
    });
  }

  /**
   * Resolves with the head of a successful answer, its body still to be read. Has no time limit.
   */
  async send(
    method: HttpRequest["method"],
    path: string,
    options: ApiRequest,
  ): Promise<HttpAnswer> {
    const url = new URL(`${this.configuration.apiUrl}${path}`);
    for (const [name, value] of Object.entries(options.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const { body, saveTo, signal } = options;
    const headers = { ...options.headers, "x-api-key": this.configuration.apiKey };
    const request = { method, url: url.href, headers, body, saveTo, signal };
    const answer = await attempt(request, options.repeatable ?? REPEATABLE.has(method));
    if (answer.status < 400) return answer;
    throw await refusal(method, path, answer);
  }
}

/** `undefined` for an empty text. */
export function parseJson(text: string, what: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    const message = `the answer to ${what} is no JSON but begins with ${JSON.stringify(text.slice(0, 60))}`;
    throw sandboxError("invalid_answer", message, { cause: error });
  }
}

async function attempt(request: HttpRequest, repeatable: boolean): Promise<HttpAnswer> {
  try {
    return await platform.sendHttp(request);
  } catch (error) {
    const broken = error instanceof SandboxError && error.details["mayHaveHappened"] === true;
    if (!broken || !repeatable) throw error;
    return platform.sendHttp(request);
  }
}

async function refusal(method: string, path: string, answer: HttpAnswer): Promise<SandboxError> {
  const text = new TextDecoder().decode(await answer.bytes());
  const code = answer.status === 404 ? "route_not_found" : "internal";
  return (
    errorFromText(text) ??
    sandboxError(code, `${method} ${path} was answered with status ${answer.status}`, {
      requestId: answer.header("x-request-id"),
      hint: "That is no answer of Insien's: correct the address, or ask the proxy in front of it why.",
    })
  );
}
