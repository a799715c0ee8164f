import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { InsienError } from "@insien/protocol";

const HIGHEST_PORT = 65_535;
/** A program that listens on one kind of address only is found on either. */
const LOOPBACK_ADDRESSES = ["127.0.0.1", "::1"];

/** The number a text names. Throws `invalid_request`. */
export function parsePort(text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port >= 1 && port <= HIGHEST_PORT) return port;
  throw new InsienError(
    "invalid_request",
    `"${text}" is not a port between 1 and ${HIGHEST_PORT}`,
    {
      details: { field: "port" },
    },
  );
}

async function tryConnect(host: string, port: number): Promise<Socket | undefined> {
  // Each direction may end on its own, as the programs on both sides expect of TCP.
  const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
  try {
    await once(socket, "connect");
    return socket;
  } catch {
    socket.destroy();
    return undefined;
  }
}

/** Connects to a port of the machine itself. Throws `port_not_listening`. */
export async function connectLocally(port: number): Promise<Socket> {
  for (const host of LOOPBACK_ADDRESSES) {
    const socket = await tryConnect(host, port);
    if (socket !== undefined) return socket;
  }
  throw new InsienError("port_not_listening", `nothing listens on port ${port} in the sandbox`, {
    details: { port },
  });
}
