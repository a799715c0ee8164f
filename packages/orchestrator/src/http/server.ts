import { type Server, createServer } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { FastifyBaseLogger } from "fastify";
import packageJson from "../../package.json" with { type: "json" };
import type { Application } from "../app/application.ts";
import { Callers } from "../app/callers.ts";
import type { ExternalDoor } from "../app/sandbox-ports.ts";
import { addAgentRoutes } from "../ws/agent-routes.ts";
import type { LineDoor } from "../ws/line-door.ts";
import { Upgrades } from "../ws/upgrades.ts";
import { agentUrl } from "./agent-urls.ts";
import { Doorkeeper } from "./authentication.ts";
import type { App, Door, RouteAuth } from "./door.ts";
import { type DoorLimits, doorLimits } from "./door-limits.ts";
import { answerBrokenRequest, boundServer, createApp, serverOptions } from "./fastify-app.ts";
import { NodeGateway } from "./node-gateway.ts";
import { addNodeRouting } from "./node-routing.ts";
import { addOpenApi } from "./openapi.ts";
import { PortUrls } from "./port-urls.ts";
import { ExternalPorts } from "./previews/external-ports.ts";
import { PreviewNames } from "./previews/preview-names.ts";
import { Previews } from "./previews/previews.ts";
import { ResponseHeaders } from "./response-headers.ts";
import { SignInRates } from "./sign-in-rates.ts";
import { addAccountRoutes } from "./routes/account.ts";
import { addArchiveRoutes } from "./routes/archive.ts";
import { addAuthRoutes } from "./routes/auth.ts";
import { addDirectoryRoutes } from "./routes/directories.ts";
import { addDocsRoutes } from "./routes/docs.ts";
import { addEventRoutes } from "./routes/events.ts";
import { addExecRoutes } from "./routes/exec.ts";
import { addFileRoutes } from "./routes/files.ts";
import { addHealthRoutes } from "./routes/health.ts";
import { addKeyRoutes } from "./routes/keys.ts";
import { addMountRoutes } from "./routes/mounts.ts";
import { addMaintenanceRoutes } from "./routes/maintenance.ts";
import { addMetricsRoute, countRequests } from "./routes/metrics.ts";
import { addOidcRoutes } from "./routes/oidc.ts";
import { addPortRoutes } from "./routes/ports.ts";
import { addQuotaRoutes } from "./routes/quotas.ts";
import { addMainRoutes } from "./routes/main-command.ts";
import { addSettingRoutes } from "./routes/settings.ts";
import { addSandboxRoutes } from "./routes/sandboxes.ts";
import { addSeedRoutes } from "./routes/seed.ts";
import { addStudioRoutes } from "./routes/studio.ts";
import { addUserRoutes } from "./routes/users.ts";
import { addVolumeRoutes } from "./routes/volumes.ts";
import { addUsageRoutes } from "./routes/usage.ts";
import { addWebhookDeliveryRoutes } from "./routes/webhook-deliveries.ts";
import { addWebhookRoutes } from "./routes/webhooks.ts";

export interface HttpServerOptions {
  application: Application;
  logger: FastifyBaseLogger;
  config?: {
    /** Where clients reach the main door, e.g. `https://insien.example`; part of agent URLs. */
    publicUrl?: string | undefined;
    /** Where other nodes reach it. */
    nodeUrl?: string | undefined;
    /** Host names under it lead to ports of sandboxes; `localhost` by default. */
    domain?: string | undefined;
    /** Where external ports listen. */
    host?: string | undefined;
    /** Believe `X-Forwarded-For` about who the client is. Only behind a proxy that sets it. */
    trustProxy?: boolean | undefined;
    /** Origins whose pages may call the API; absent: any, without credentials. */
    corsOrigins?: readonly string[] | undefined;
  };
  /** Takes WebSocket lines, of agents that no unix socket reaches; absent: there is no such door. */
  lineDoor?: LineDoor | undefined;
  /** Narrower bounds, for tests. */
  limits?: Partial<DoorLimits>;
}

export interface RouteEntry {
  method: string;
  /** With `:name` parameters. */
  url: string;
  auth: RouteAuth;
  /** Whether it is of the API, and in its document; the studio's pages are not. */
  documented: boolean;
}

export interface HttpAddress {
  host: string;
  port: number;
  /** Of the second door; undefined when there is none. */
  webSocketPort: number | undefined;
  url: string;
}

export interface HttpServer extends AsyncDisposable {
  /** Every route there is, WebSocket addresses included. */
  readonly routes: readonly RouteEntry[];
  /** Opens ports of the host that lead to a sandbox's. */
  readonly externalPorts: ExternalDoor;
  /** Undefined before `listen`. */
  readonly address: HttpAddress | undefined;
  /** Port 0 takes a free one. `webSocketPort` opens the second door, which serves upgrades only. */
  listen(port: number, host: string, options?: { webSocketPort?: number }): Promise<HttpAddress>;
  /** Stops accepting, lets short requests finish, and ends everything else within `closeMs`. */
  close(): Promise<void>;
}

/** The orchestrator's doors: REST and WebSockets on the main port, WebSockets alone on a second. */
export async function createHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const limits = doorLimits(options.limits);
  const doorkeeper = new Doorkeeper(new Callers(options.application), limits);
  const config = options.config ?? {};
  const gateway = new NodeGateway(options.application.nodes, limits);
  const names = new PreviewNames({
    domain: config.domain ?? "localhost",
    publicUrl: config.publicUrl,
    nodeUrl: config.nodeUrl,
  });
  const { ports } = options.application;
  const { logger } = options;
  const trustProxy = config.trustProxy === true;
  const previews = new Previews({
    ...{ ports, names, gateway, doorkeeper, limits, logger, trustProxy },
  });
  const app = createApp({
    previews,
    doorkeeper,
    headers: new ResponseHeaders(config.corsOrigins),
    limits,
    logger: options.logger,
    trustProxy: config.trustProxy === true,
  });
  const upgrades = new Upgrades({
    application: options.application,
    gateway,
    doorkeeper,
    limits,
    logger: options.logger,
    lineDoor: options.lineDoor,
    previews,
    trustProxy: config.trustProxy === true,
  });
  const host = config.host ?? "127.0.0.1";
  const externalPorts = new ExternalPorts({ host, previews, ports, limits, logger });
  const server = new Doors({ app, upgrades, gateway, limits, previews, externalPorts });
  const source = {
    publicUrl: config.publicUrl,
    webSocketPort: () => server.address?.webSocketPort ?? server.address?.port ?? 0,
  };
  const door: Door = {
    application: options.application,
    limits,
    version: packageJson.version,
    agentUrl: (reached, sandboxId) => agentUrl(source, reached, sandboxId),
    publicUrl: config.publicUrl,
    portUrls: new PortUrls(names, () => server.address?.port ?? 0),
  };
  countRequests(app, door);
  addNodeRouting(app, { gateway, agentUrl: door.agentUrl });
  await addRoutes(app, server.routes, door);
  await app.ready();
  return server;
}

async function addRoutes(app: App, list: RouteEntry[], door: Door): Promise<void> {
  app.addHook("onRoute", ({ method, url, config, schema }) => {
    const entry = { url, auth: config?.auth ?? "key", documented: schema?.hide !== true };
    for (const each of [method].flat()) list.push({ method: each, ...entry });
  });
  await addOpenApi(app, door.version);
  app.register(async (routes: App) => {
    addHealthRoutes(routes, door);
    addSandboxRoutes(routes, door);
    addExecRoutes(routes, door);
    addSettingRoutes(routes, door);
    addMainRoutes(routes, door);
    addDirectoryRoutes(routes, door);
    addEventRoutes(routes, door);
    addKeyRoutes(routes, door);
    addPeopleRoutes(routes, door);
    addPortRoutes(routes, door);
    addQuotaRoutes(routes, door);
    addUsageRoutes(routes, door);
    addMetricsRoute(routes, door);
    addMaintenanceRoutes(routes, door);
    addVolumeRoutes(routes, door);
    addMountRoutes(routes, door);
    addSeedRoutes(routes, door);
    addWebhookRoutes(routes, door);
    addWebhookDeliveryRoutes(routes, door);
    addAgentRoutes(routes);
    addDocsRoutes(routes);
    addStudioRoutes(routes);
    await routes.register((files: App) => {
      addFileRoutes(files, door);
      addArchiveRoutes(files, door);
    });
  });
}

function addPeopleRoutes(app: App, door: Door): void {
  const rates = new SignInRates(door.limits);
  addAuthRoutes(app, door, rates);
  addOidcRoutes(app, door, rates);
  addAccountRoutes(app, door, rates);
  addUserRoutes(app, door);
}

class Doors implements HttpServer {
  readonly routes: RouteEntry[] = [];
  address: HttpAddress | undefined;
  readonly #app: App;
  readonly #upgrades: Upgrades;
  readonly #gateway: NodeGateway;
  readonly #limits: DoorLimits;
  readonly #previews: Previews;
  readonly externalPorts: ExternalPorts;
  #second: Server | undefined;

  constructor(parts: {
    app: App;
    upgrades: Upgrades;
    gateway: NodeGateway;
    limits: DoorLimits;
    previews: Previews;
    externalPorts: ExternalPorts;
  }) {
    this.#app = parts.app;
    this.#upgrades = parts.upgrades;
    this.#gateway = parts.gateway;
    this.#limits = parts.limits;
    this.#previews = parts.previews;
    this.externalPorts = parts.externalPorts;
    parts.upgrades.serve(parts.app.server);
  }

  async listen(
    port: number,
    host: string,
    options: { webSocketPort?: number } = {},
  ): Promise<HttpAddress> {
    await this.#app.listen({ port, host });
    const main = this.#app.server.address() as AddressInfo;
    const webSocketPort =
      options.webSocketPort === undefined
        ? undefined
        : await this.#listenSecond(options.webSocketPort, host);
    const shown = host === "0.0.0.0" || host === "::" ? "localhost" : host;
    const url = `http://${shown.includes(":") ? `[${shown}]` : shown}:${main.port}`;
    this.address = { host, port: main.port, webSocketPort, url };
    return this.address;
  }

  async close(): Promise<void> {
    const servers = [this.#app.server, this.#second].filter((each) => each !== undefined);
    const bound = setTimeout(() => {
      for (const server of servers) server.closeAllConnections();
    }, this.#limits.closeMs);
    try {
      const second = this.#second;
      const secondClosed =
        second === undefined ? undefined : new Promise((resolve) => second.close(resolve));
      await this.externalPorts[Symbol.asyncDispose]();
      const upgraded = [this.#upgrades.close(), this.#previews.close()];
      await Promise.all([this.#app.close(), secondClosed, ...upgraded]);
    } finally {
      clearTimeout(bound);
      this.#gateway[Symbol.dispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #listenSecond(port: number, host: string): Promise<number> {
    const server = boundServer(createServer(serverOptions(this.#limits)), this.#limits);
    server.on("request", (request, response) => this.#upgrades.refusePlain(request, response));
    server.on("clientError", (error, socket) => answerBrokenRequest(error, socket as Socket));
    this.#upgrades.serve(server);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, host, resolve);
    });
    this.#second = server;
    return (server.address() as AddressInfo).port;
  }
}
