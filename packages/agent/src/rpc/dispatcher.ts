import {
  InsienError,
  LIMITS,
  decodeFrame,
  type Frame,
  type FrameKind,
  type RpcServerFrame,
  type RpcType,
} from "@insien/protocol";
import { asInsienError } from "../error-answer.ts";
import type { RpcConnection, RpcHandlers } from "./connection.ts";
import { REQUEST_SHAPES } from "./request-shapes.ts";
import { isRecord, mismatch } from "./shape.ts";

/** Takers of binary frames, by kind. */
export type FrameHandlers = Partial<
  Record<FrameKind, (frame: Frame, connection: RpcConnection) => void>
>;

type RequestId = string | number;
type AnyHandler = (request: unknown, connection: RpcConnection) => unknown;

/** Where one connection's messages end up, whatever carries them. */
export class Dispatcher {
  readonly #handlers: Readonly<Partial<Record<RpcType, AnyHandler>>>;
  readonly #frameHandlers: FrameHandlers;

  constructor(handlers: Partial<RpcHandlers<RpcType>>, frameHandlers: FrameHandlers) {
    // Each handler meets only requests that its own shape has let through.
    this.#handlers = handlers as Partial<Record<RpcType, AnyHandler>>;
    this.#frameHandlers = frameHandlers;
  }

  connect(connection: RpcConnection, send: (frame: RpcServerFrame) => void): Session {
    return new Session(this.#handlers, this.#frameHandlers, connection, send);
  }
}

/** One connection's requests. Whatever comes in, what goes out is an answer or an error frame. */
export class Session {
  readonly #handlers: Readonly<Partial<Record<RpcType, AnyHandler>>>;
  readonly #frameHandlers: FrameHandlers;
  readonly #connection: RpcConnection;
  readonly #send: (frame: RpcServerFrame) => void;
  #inFlight = 0;

  constructor(
    handlers: Readonly<Partial<Record<RpcType, AnyHandler>>>,
    frameHandlers: FrameHandlers,
    connection: RpcConnection,
    send: (frame: RpcServerFrame) => void,
  ) {
    this.#handlers = handlers;
    this.#frameHandlers = frameHandlers;
    this.#connection = connection;
    this.#send = send;
  }

  receive(data: Buffer, isBinary: boolean): void {
    if (isBinary) this.#receiveBytes(data);
    else this.#receiveText(data);
  }

  #receiveBytes(data: Buffer): void {
    try {
      const frame = decodeFrame(data);
      const handle = frame === undefined ? undefined : this.#frameHandlers[frame.kind];
      if (frame === undefined || handle === undefined) {
        throw new InsienError("invalid_request", "a binary frame is malformed");
      }
      handle(frame, this.#connection);
    } catch (error) {
      this.#fail(undefined, error);
    }
  }

  #receiveText(data: Buffer): void {
    let id: RequestId | undefined;
    try {
      const request = parse(data);
      id = idOf(request);
      const type = typeOf(request);
      const wrong = mismatch(REQUEST_SHAPES[type], request);
      if (wrong !== undefined) {
        throw new InsienError("invalid_request", `${type}: ${wrong.field} ${wrong.message}`, {
          details: { field: wrong.field },
        });
      }
      if (id === undefined) throw new InsienError("invalid_request", `${type}: id is required`);
      this.#run(id, type, request);
    } catch (error) {
      this.#fail(id, error);
    }
  }

  #run(id: RequestId, type: RpcType, request: unknown): void {
    const handler = this.#handlers[type];
    if (handler === undefined) {
      throw new InsienError("capability_missing", `this agent does not answer "${type}"`);
    }
    if (this.#inFlight >= LIMITS.rpcRequestsInFlight.value) {
      throw new InsienError(
        "limit_reached",
        `${this.#inFlight} requests of this connection wait for answers`,
      );
    }
    const answer = handler(request, this.#connection);
    if (!(answer instanceof Promise)) {
      this.#answer(id, type, answer);
      return;
    }
    this.#inFlight += 1;
    answer
      .then(
        (body) => this.#answer(id, type, body),
        (error: unknown) => this.#fail(id, error),
      )
      .finally(() => {
        this.#inFlight -= 1;
      });
  }

  #answer(id: RequestId, type: RpcType, body: unknown): void {
    this.#send({ id, type: `${type}Response`, ...(body as object) } as RpcServerFrame);
  }

  #fail(id: RequestId | undefined, error: unknown): void {
    const body = asInsienError(error).toBody();
    this.#send({ ...(id === undefined ? {} : { id }), type: "error", error: body });
  }
}

function parse(data: Buffer): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(data.toString("utf8"));
  } catch {
    throw new InsienError("invalid_request", "a text frame must be JSON");
  }
  if (!isRecord(value))
    throw new InsienError("invalid_request", "a text frame must be a JSON object");
  return value;
}

function idOf({ id }: Record<string, unknown>): RequestId | undefined {
  return typeof id === "string" || typeof id === "number" ? id : undefined;
}

function typeOf({ type }: Record<string, unknown>): RpcType {
  if (typeof type === "string" && Object.hasOwn(REQUEST_SHAPES, type)) return type as RpcType;
  const given = typeof type === "string" ? `"${type.slice(0, 64)}"` : String(type);
  throw new InsienError("invalid_request", `there is no request type ${given}`, {
    details: { field: "type" },
  });
}
