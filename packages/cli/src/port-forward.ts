import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { type Sandbox, SandboxError } from "@insien/sandbox";
import { harmless } from "./output/harmless.ts";
import { UsageError } from "./usage-error.ts";

const LOOPBACK = "127.0.0.1";

/** Listens on this machine and carries each connection to the sandbox's port. Ends by a signal. */
export async function forwardPort(
  sandbox: Sandbox,
  { internal, local }: { internal: number; local: number },
): Promise<void> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on("close", () => sockets.delete(socket)));
    carry(sandbox, internal, socket).catch((error: unknown) => {
      const why = error instanceof SandboxError ? `${error.message}. ${error.hint}` : String(error);
      process.stderr.write(`${harmless(why)}\n`);
      socket.destroy();
    });
  });
  server.listen(local, LOOPBACK);
  await once(server, "listening").catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    throw new UsageError(
      `Port ${local} of this machine is taken.`,
      `Choose another: insien ports forward ${sandbox.id} <port>:${internal}`,
    );
  });
  const { port } = server.address() as { port: number };
  process.stdout.write(`http://${LOOPBACK}:${port} leads to port ${internal} of ${sandbox.id}\n`);
  await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
  server.close();
  for (const socket of sockets) socket.destroy();
}

async function carry(sandbox: Sandbox, port: number, socket: Socket): Promise<void> {
  socket.pause();
  socket.on("error", () => socket.destroy());
  const connection = await sandbox.ports.open(port);
  socket.on("close", () => connection.close());
  await pipeline(socket, Duplex.fromWeb(connection), socket).catch((error: unknown) => {
    // Whoever closes a connection without waiting for the other side has just had enough.
    if ((error as NodeJS.ErrnoException).code !== "ERR_STREAM_PREMATURE_CLOSE") throw error;
  });
}
