/** REST calls: adds the key, bounds the time, turns error answers into errors. */
import { platform } from "#platform";
import type { Configuration, RequestOptions } from "./configuration.ts";
import { withDeadline } from "./deadline.ts";
import { errorFromText, SandboxError, sandboxError } from "./errors.ts";
import type { HttpAnswer, HttpRequest } from "./platform/platform.ts";

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

export class ApiClient {
  readonly configuration: Configuration;

  constructor(configuration: Configuration) {
    this.configuration = configuration;
  }

  /** Sends JSON (when there is a body) and reads JSON; `undefined` for an empty answer. */
  async json<Answer>(
    method: HttpRequest["method"],
    path: string,
    options: Omit<ApiRequest, "body"> & { json?: unknown } = {},
  ): Promise<Answer> {
    const { json, ...rest } = options;
    const body = json === undefined ? undefined : JSON.stringify(json);
    const headers = body === undefined ? {} : { "content-type": "application/json" };
    const timeoutMs = options.requestTimeoutMs ?? this.configuration.requestTimeoutMs;
    const what = `${method} ${path}`;
    return withDeadline({ what, signal: options.signal, timeoutMs }, async (signal) => {
      const answer = await this.send(method, path, { ...rest, headers, body, signal });
      const text = new TextDecoder().decode(await answer.bytes());
      return (text === "" ? undefined : JSON.parse(text)) as Answer;
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
    })
  );
}
