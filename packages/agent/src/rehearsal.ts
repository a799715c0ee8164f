/**
 * A program's first command is its slowest: every function on the way is compiled when it is first
 * called, which costs the agent several times what the command itself does. A machine that waits in
 * a pool has the time to do that before anybody asks: a twin of the agent, which nobody can reach
 * and which reports to nobody, is bound and runs a command, over a socket pair instead of a line.
 */
import type { Server } from "node:http";
import { Socket } from "node:net";
import { AGENT_PATHS, LIMITS } from "@insien/protocol";
import type { Agent } from "./agent.ts";
import type { Libc } from "./native/libc.ts";
import { readUpgradeHead } from "./line/upgrade-head.ts";
import { WebSocket } from "./web-socket/web-socket.ts";

/** A sandbox made for somebody who waits gets its first request sooner than this. */
const QUIET_MS = 150;
/** Twice: what is called again is kept in a faster form. */
const RUNS = 2;
const UPGRADE =
  `GET ${AGENT_PATHS.rpc} HTTP/1.1\r\nHost: agent\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
const BIND_BODY = JSON.stringify({ sandboxId: "rehearsal", env: {} });
const BIND =
  `POST ${AGENT_PATHS.bind} HTTP/1.1\r\nHost: agent\r\nContent-Type: application/json\r\n` +
  `Content-Length: ${BIND_BODY.length}\r\n\r\n${BIND_BODY}`;

/** Rehearses once, unless the agent is put to use first. */
export function rehearseWhenIdle(server: Server, libc: Libc, makeTwin: () => Agent): void {
  const timer = setTimeout(() => {
    server.off("upgrade", used);
    // A rehearsal that fails has cost nothing but itself.
    rehearse(libc, makeTwin().server).catch(() => undefined);
  }, QUIET_MS);
  const used = () => clearTimeout(timer);
  server.once("upgrade", used);
}

async function rehearse(libc: Libc, server: Server): Promise<void> {
  for (let run = 0; run < RUNS; run += 1) {
    await converse(libc, server, async (near) => {
      near.write(BIND);
      await new Promise((resolve) => near.once("data", resolve));
    });
    await converse(libc, server, async (near) => {
      near.write(UPGRADE);
      await readUpgradeHead(near);
      await runCommand(near);
    });
  }
}

/** One connection to the twin, from its first byte to its last. */
async function converse(
  libc: Libc,
  server: Server,
  say: (near: Socket) => Promise<void>,
): Promise<void> {
  const pair = libc.socketPair();
  if (pair === undefined) return;
  const [near, far] = pair.map((fd) => new Socket({ fd, readable: true, writable: true }));
  if (near === undefined || far === undefined) return;
  const silence = setTimeout(() => near.destroy(), LIMITS.handshakeMs.value);
  const closed = new Promise<never>((_resolve, reject) => {
    near.once("close", () => reject(new Error("the rehearsal broke off")));
  });
  closed.catch(() => undefined);
  try {
    server.emit("connection", far);
    await Promise.race([say(near), closed]);
  } finally {
    clearTimeout(silence);
    near.destroy();
  }
}

/** The one program that is in every machine is the loader that the agent itself was started with. */
function runCommand(near: Socket): Promise<void> {
  const client = new WebSocket(near, { maxBytes: LIMITS.rpcFrameBytes.value, role: "client" });
  return new Promise((resolve) => {
    client.listen({
      message: (data, isBinary) => {
        if (!isBinary && data.includes('"exit"')) resolve();
      },
      close: resolve,
    });
    const command = { cmd: process.execPath, args: ["--version"] };
    client.sendText(JSON.stringify({ id: "rehearsal", type: "start", ...command }));
  });
}
