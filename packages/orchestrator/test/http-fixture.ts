import { Writable } from "node:stream";
import { pino } from "pino";
import { type HttpServer, type HttpServerOptions, createHttpServer } from "../src/http/server.ts";
import { AgentDouble } from "./agent-double.ts";
import { ApplicationDouble, OWNER_KEY } from "./application-double.ts";

/** A server on free ports with everything behind it in memory, and a client that holds a key. */
export interface HttpFixture extends AsyncDisposable {
  application: ApplicationDouble;
  agent: AgentDouble;
  server: HttpServer;
  url: string;
  /** Of the second door. */
  webSocketUrl: string;
  /** Everything that was logged. */
  logged(): string;
  /** With the owner's key, unless `key` says otherwise (`null`: none). */
  send(method: string, path: string, options?: SendOptions): Promise<Answer>;
  /** A running sandbox of the owner's. */
  newSandbox(): Promise<string>;
}

interface SendOptions {
  key?: string | null;
  body?: unknown;
  headers?: Record<string, string>;
}

interface Answer {
  status: number;
  headers: Headers;
  // Tests look into answers of every shape.
  body: Record<string, never> & { error: { code: string; message: string; requestId: string } };
}

export async function startHttpFixture(
  options: Partial<HttpServerOptions> = {},
): Promise<HttpFixture> {
  const application = new ApplicationDouble();
  const agent = await AgentDouble.start();
  application.connector = agent;
  let log = "";
  const destination = new Writable({
    write: (chunk, _encoding, done) => {
      log += String(chunk);
      done();
    },
  });
  const logger = pino({ level: "trace" }, destination);
  const server = await createHttpServer({ application, logger, ...options });
  const { url, webSocketPort } = await server.listen(0, "127.0.0.1", { webSocketPort: 0 });
  const send = (method: string, path: string, sendOptions: SendOptions = {}) =>
    sendTo(`${url}${path}`, method, sendOptions);
  return {
    application,
    agent,
    server,
    url,
    webSocketUrl: `ws://127.0.0.1:${webSocketPort}`,
    logged: () => log,
    send,
    newSandbox: async () => String((await send("POST", "/api/v1/sandboxes")).body["id"]),
    [Symbol.asyncDispose]: async () => {
      await server.close();
      await agent[Symbol.asyncDispose]();
    },
  };
}

async function sendTo(url: string, method: string, options: SendOptions): Promise<Answer> {
  const { key = OWNER_KEY, body, headers = {} } = options;
  const response = await fetch(url, {
    method,
    headers: {
      ...(key === null ? {} : { "x-api-key": key }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const type = response.headers.get("content-type") ?? "";
  const isJson = text !== "" && type.startsWith("application/json");
  return {
    status: response.status,
    headers: response.headers,
    body: (isJson ? JSON.parse(text) : { text }) as Answer["body"],
  };
}
