import { chmod, mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import {
  type IncomingMessage,
  type Server as HttpServer,
  createServer as createHttpServer,
} from "node:http";
import { type Server as NetServer, type Socket, createServer as createNetServer } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { InsienError, LIMITS, LINE_UPGRADE, type MachineId, asMachineId } from "@insien/protocol";
import { LineTokens } from "./line-token.ts";
import { MachineLine } from "./machine-line.ts";

/** `sun_path` holds 108 bytes, the last of them NUL. */
const SOCKET_PATH_BYTES = 107;
const LINE_PATH = /^\/line\/([a-z0-9]+)$/;

/**
 * Listens for agents. Each machine has a directory of its own with one socket in it, which is all
 * that the machine sees of the host; so a machine cannot even try another's line.
 */
export class LineServer implements AsyncDisposable {
  readonly #directory: string;
  readonly #tokens: LineTokens;
  readonly #lines = new Map<MachineId, { line: MachineLine; server: NetServer }>();
  readonly #http: HttpServer;
  /** Connections that have not said what they want yet: to be called when they have. */
  readonly #greeted = new Map<Duplex, () => void>();
  /** How many these are for each machine. */
  readonly #greeting = new Map<MachineId, number>();

  constructor(options: { dataDirectory: string; jwtSecret: string }) {
    this.#directory = join(options.dataDirectory, "lines");
    this.#tokens = new LineTokens(options.jwtSecret);
    this.#http = createHttpServer((_request, response) => {
      response.writeHead(426, { connection: "close" }).end();
    });
    this.#http.on("upgrade", (request, socket, head) => void this.#upgrade(request, socket, head));
  }

  directory(machineId: MachineId): string {
    return join(this.#directory, machineId);
  }

  get(machineId: MachineId): MachineLine | undefined {
    return this.#lines.get(machineId)?.line;
  }

  /** Machines that are listened for, and those of them whose agent is there. */
  get counts(): { open: number; up: number } {
    const all = [...this.#lines.values()];
    return { open: all.length, up: all.filter(({ line }) => line.isUp).length };
  }

  /** Starts to listen for a machine; the same line when it listens already. */
  async open(machineId: MachineId): Promise<MachineLine> {
    const existing = this.get(machineId);
    if (existing !== undefined) return existing;
    const line = new MachineLine(machineId);
    const server = createNetServer((socket) => this.#greet(machineId, socket));
    server.maxConnections = LIMITS.lineConnections.value;
    this.#lines.set(machineId, { line, server });
    try {
      await this.#listen(machineId, server);
    } catch (error) {
      this.#lines.delete(machineId);
      throw error;
    }
    return line;
  }

  /** Stops listening, ends every stream with `reason`, and removes the machine's directory. */
  async close(machineId: MachineId, reason: InsienError): Promise<void> {
    const entry = this.#lines.get(machineId);
    this.#lines.delete(machineId);
    entry?.line.declareLost(reason);
    entry?.server.close();
    await rm(this.directory(machineId), { recursive: true, force: true });
  }

  /** A connection that came by WebSocket instead of the socket. Throws `unauthorized`. */
  async accept(machineId: string, token: string, stream: Duplex): Promise<void> {
    const verified = await this.#tokens.verify(token);
    const line = verified === undefined || verified !== machineId ? undefined : this.get(verified);
    if (line === undefined) throw new InsienError("unauthorized", "This token opens no line here");
    line.park(stream);
  }

  /** Directories of machines that are not in `known`: left by a crash between two steps. */
  async removeStrays(known: ReadonlySet<string>): Promise<void> {
    const names = await readdir(this.#directory).catch(() => []);
    const strays = names.filter((name) => !known.has(name) && !this.#lines.has(name as MachineId));
    for (const name of strays)
      await rm(join(this.#directory, name), { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // The directories stay: machines outlive this process and dial the next one at the same place.
    const reason = new InsienError("agent_unreachable", "The orchestrator is stopping");
    for (const { line, server } of this.#lines.values()) {
      line.declareLost(reason);
      server.close();
    }
    this.#lines.clear();
    this.#http.close();
    await Promise.resolve();
  }

  async #listen(machineId: MachineId, server: NetServer): Promise<void> {
    const directory = this.directory(machineId);
    const socketPath = join(directory, "line.sock");
    if (Buffer.byteLength(socketPath) > SOCKET_PATH_BYTES) {
      throw new InsienError(
        "create_failed",
        `The data directory's path is too long for a socket in it (${socketPath}): set INSIEN_DATA_DIR to a shorter one`,
      );
    }
    await mkdir(directory, { recursive: true, mode: 0o711 });
    await rm(socketPath, { force: true });
    await this.#writeToken(directory, machineId);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(socketPath, resolve);
    });
    // The agent may run as any user of the machine; who may connect is settled by who sees the file.
    await chmod(socketPath, 0o666);
    await chmod(directory, 0o755);
  }

  /** An earlier one is read-only, so that only root could write into it: it is replaced as a whole. */
  async #writeToken(directory: string, machineId: MachineId): Promise<void> {
    const token = join(directory, "token");
    await rm(`${token}.new`, { force: true });
    await writeFile(`${token}.new`, await this.#tokens.sign(machineId), { mode: 0o444 });
    await rename(`${token}.new`, token);
  }

  /** The HTTP server's own clock runs only while it listens itself. */
  #greet(machineId: MachineId, socket: Socket): void {
    const waiting = this.#greeting.get(machineId) ?? 0;
    if (waiting >= LIMITS.lineDials.value) {
      socket.destroy();
      return;
    }
    this.#greeting.set(machineId, waiting + 1);
    const timer = setTimeout(() => socket.destroy(), LIMITS.requestHeadersMs.value);
    const greeted = () => {
      if (!this.#greeted.delete(socket)) return;
      clearTimeout(timer);
      const left = (this.#greeting.get(machineId) ?? 1) - 1;
      if (left > 0) this.#greeting.set(machineId, left);
      else this.#greeting.delete(machineId);
    };
    this.#greeted.set(socket, greeted);
    socket.once("close", greeted);
    this.#http.emit("connection", socket);
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on("error", () => socket.destroy());
    this.#greeted.get(socket)?.();
    const machineId = asMachineId(LINE_PATH.exec(request.url ?? "")?.[1] ?? "");
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1];
    if (
      request.headers.upgrade !== LINE_UPGRADE ||
      machineId === undefined ||
      token === undefined
    ) {
      socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
      return;
    }
    const verified = await this.#tokens.verify(token);
    const line = verified === machineId ? this.get(machineId) : undefined;
    if (line === undefined) {
      socket.end("HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n");
      return;
    }
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${LINE_UPGRADE}\r\n\r\n`,
    );
    if (head.length > 0) socket.unshift(head);
    line.park(socket);
  }
}
