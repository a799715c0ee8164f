import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { nodeSilent } from "../../app/node-directory.ts";
import type { AdmittedPort } from "../../app/ports.ts";
import type { LivePlace } from "../node-gateway.ts";
import { type AnswerPlace, answerHeaders } from "./answer-headers.ts";
import { HOP_HEADERS, namedByConnection } from "./hop-headers.ts";
import { machinePorts } from "./port-connection.ts";
import { type Onward, openToPort } from "./port-exchange.ts";
import type { PreviewRequest } from "./preview-request.ts";
import type { UpgradeOnward } from "./preview-upgrade.ts";
import type { PreviewsOptions } from "./previews.ts";
import type { ProgramsPart } from "./shown-credentials.ts";
import { bodyHeaders, requestHeaders } from "./request-headers.ts";

/** A request that was let in. */
export interface Visit {
  request: IncomingMessage;
  asked: PreviewRequest;
  admitted: AdmittedPort;
  /** Of the visitor. */
  address: string;
  isSecure: boolean;
  program: ProgramsPart;
}

/** Counted as open until it is disposed of. */
interface Entered {
  entered: Disposable;
}

const NOT_COUNTED: Disposable = { [Symbol.dispose]: () => undefined };

/** Where a request goes on to: the program, over the line of its machine, or the node that has it. */
export class PreviewWays {
  readonly #options: PreviewsOptions;

  constructor(options: PreviewsOptions) {
    this.#options = options;
  }

  async plain(visit: Visit): Promise<Onward & Entered> {
    const place = await this.#elsewhere(visit);
    return place === undefined ? this.#toProgram(visit) : this.#toNode(visit, place);
  }

  async webSocket(visit: Visit): Promise<UpgradeOnward & Entered> {
    const { gateway, ports } = this.#options;
    const { request, admitted } = visit;
    const place = await this.#elsewhere(visit);
    if (place !== undefined) {
      const connector = gateway.connector(place, admitted.sandboxId);
      return {
        entered: NOT_COUNTED,
        connect: (signal) => connector.take({ signal }),
        options: { path: request.url, headers: this.#passedHeaders(visit, place) },
        headersOf: passedAnswer,
        lost: connector.lost,
      };
    }
    const connector = await ports.connect(admitted);
    const machine = machinePorts(connector);
    return {
      entered: machine.enter(),
      connect: (signal) => machine.connect(admitted.port, { signal }),
      options: { path: visit.program.target, headers: this.#programHeaders(visit) },
      headersOf: (answer) => answerHeaders(answer, answerPlace(visit)),
      lost: connector.lost,
    };
  }

  clientAddress({ headers, socket }: IncomingMessage): string {
    const forwarded = headers["x-forwarded-for"];
    if (this.#options.trustProxy && typeof forwarded === "string") {
      return forwarded.split(",", 1)[0]?.trim() ?? "";
    }
    return socket.remoteAddress ?? "";
  }

  isSecure({ headers }: IncomingMessage): boolean {
    const { trustProxy, names } = this.#options;
    const said = headers["x-forwarded-proto"];
    if (trustProxy && typeof said === "string") return said.split(",", 1)[0]?.trim() === "https";
    return names.publicUrl?.protocol === "https:";
  }

  async #toProgram(visit: Visit): Promise<Onward & Entered> {
    const { request, program, admitted } = visit;
    const connector = await this.#options.ports.connect(admitted);
    const machine = machinePorts(connector);
    const { method } = request;
    const headers = this.#programHeaders(visit);
    return {
      entered: machine.enter(),
      open: (isRepeatable, signal) =>
        openToPort(machine, admitted.port, {
          ...{ method, headers, path: program.target, isRepeatable, signal },
        }),
      headersOf: (answer) => answerHeaders(answer, answerPlace(visit)),
      lost: connector.lost,
    };
  }

  #toNode(visit: Visit, place: LivePlace): Onward & Entered {
    const { gateway } = this.#options;
    const { request, admitted } = visit;
    const { method, url: path } = request;
    return {
      entered: NOT_COUNTED,
      open: async (_isRepeatable, signal) =>
        gateway.open(place, admitted.sandboxId, {
          ...{ method, path, headers: this.#passedHeaders(visit, place), signal },
        }),
      headersOf: passedAnswer,
      lost: new AbortController().signal,
    };
  }

  /** The other node decides anew, on what the visitor showed. */
  #passedHeaders(visit: Visit, place: LivePlace): IncomingHttpHeaders {
    const { headers } = visit.request;
    const dropped = namedByConnection(headers.connection);
    const kept = Object.entries(headers).filter(
      ([name]) => !HOP_HEADERS.has(name) && !dropped.has(name),
    );
    return {
      ...Object.fromEntries(kept),
      ...bodyHeaders(headers),
      ...this.#options.gateway.nodeHeaders(place),
      host: visit.asked.host,
      "x-forwarded-for": visit.address,
      "x-forwarded-proto": visit.isSecure ? "https" : "http",
    };
  }

  #programHeaders({ request, asked, address, isSecure, program }: Visit) {
    const { remoteAddress = "" } = request.socket;
    const isProxied = this.#options.trustProxy && address !== remoteAddress;
    const given = isProxied ? `${String(request.headers["x-forwarded-for"])}, ` : "";
    return requestHeaders(request, {
      host: programHost(asked),
      cookies: asked.programCookies,
      dropped: program.dropped,
      forwarded: {
        for: `${given}${remoteAddress}`,
        host: asked.host,
        proto: isSecure ? "https" : "http",
        prefix: asked.prefix,
      },
    });
  }

  async #elsewhere({ admitted, request }: Visit): Promise<LivePlace | undefined> {
    const { sandboxId, ownerId } = admitted;
    const owner = { keyId: "", ownerId, admin: false };
    const place = await this.#options.gateway.locate(owner, sandboxId, request.headers);
    if (place === undefined) return undefined;
    if (place.url === undefined) throw nodeSilent(sandboxId, place.nodeId);
    return { nodeId: place.nodeId, url: place.url };
  }
}

/** By the name that leads there from outside; under a path the program has none. */
const programHost = ({ form, host, address }: PreviewRequest): string =>
  form === "path" && address !== undefined && "port" in address
    ? `localhost:${address.port}`
    : host;

function answerPlace({ asked }: Visit): AnswerPlace {
  const { cookies, outerPrefix: prefix, host: outerHost, target: path } = asked;
  const isApiOrigin = asked.form === "path";
  const hasPathToken = asked.pathToken !== undefined;
  const names = { programHost: programHost(asked), outerHost };
  return { cookies, isApiOrigin, hasPathToken, prefix, ...names, path };
}

function passedAnswer(answer: IncomingMessage): Record<string, string | string[]> {
  const dropped = namedByConnection(answer.headers.connection);
  const entries = Object.entries(answer.headersDistinct).flatMap(([name, values = []]) => {
    if (HOP_HEADERS.has(name) || dropped.has(name)) return [];
    return [[name, values.length === 1 ? (values[0] ?? "") : values] as const];
  });
  return Object.fromEntries(entries);
}
