/** Ports of the host that change hands: whoever comes must never be led to who had one before. */
import { once } from "node:events";
import { type Socket, connect, createServer } from "node:net";
import type { SandboxId } from "@insien/protocol";
import { waitFor } from "@insien/test-kit";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { PortAddress, Ports } from "../src/app/ports.ts";
import type { ExternalDoor, ExternalPort } from "../src/app/sandbox-ports.ts";
import { doorLimits } from "../src/http/door-limits.ts";
import { ExternalPorts } from "../src/http/previews/external-ports.ts";
import { newSandboxRow } from "./sandbox-row.fixture.ts";
import { portsDouble } from "./ports-double.ts";

const ALICE = "alice0000000" as SandboxId;
const BOB = "bob000000000" as SandboxId;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

async function isListening(port: number): Promise<boolean> {
  const socket: Socket = connect(port, "127.0.0.1");
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

describe("the door", () => {
  let asked: PortAddress[];
  let door: ExternalPorts;
  let external: number;

  beforeEach(async () => {
    asked = [];
    external = await freePort();
    const unasked = () => Promise.reject(new Error("only who may come in is asked here"));
    const admit = async (address: PortAddress) => {
      asked.push(address);
      return undefined;
    };
    const others = { list: unasked, add: unasked, change: unasked, remove: unasked };
    const ports: Ports = { admit, ...others, link: unasked, connect: unasked };
    const logger = pino({ level: "silent" });
    const rest = { host: "127.0.0.1", limits: doorLimits(), logger, previews: undefined as never };
    door = new ExternalPorts({ ports, ...rest });
  });
  afterEach(() => door[Symbol.asyncDispose]());

  const portOf = (sandboxId: SandboxId): ExternalPort => ({
    ...{ external, sandboxId },
    ...{ internal: 80, protocol: "tcp" },
  });

  test("leads to who had the port opened last", async () => {
    await door.open(portOf(ALICE));
    await door.open(portOf(BOB));
    door.close(portOf(ALICE));
    expect(await isListening(external)).toBe(true);
    await waitFor(() => asked.length > 0, { describe: "the visitor to be looked at" });
    expect(asked).toEqual([{ sandboxId: BOB, port: 80 }]);
  });

  test("that is closed while it opens does not stay open", async () => {
    const opening = door.open(portOf(ALICE));
    door.close(portOf(ALICE));
    await expect(opening).rejects.toMatchObject({ code: "conflict" });
    expect(await isListening(external)).toBe(false);
  });
});

test("a port that is taken back while it is opened leads nowhere afterwards", async () => {
  const opened = Promise.withResolvers<void>();
  const open = new Map<number, ExternalPort>();
  const door: ExternalDoor = {
    open: async (port) => {
      await opened.promise;
      open.set(port.external, port);
    },
    close: ({ external }) => void open.delete(external),
    turnPrivate: () => undefined,
  };
  const sandbox = { ...newSandboxRow({ id: ALICE }), version: 1, connected: true };
  const ports = portsDouble(new Map([[ALICE, sandbox]]), () => ({
    get: async () => sandbox,
    connect: async () => Promise.reject(new Error("nobody comes")),
  }));
  await ports.serve(door);
  const principal = { keyId: "key", ownerId: sandbox.ownerId, admin: false };
  const adding = ports.add(principal, ALICE, { internal: 80, external: 20_000 });
  await waitFor(async () => (await ports.list(principal, ALICE)).length === 1);
  expect(await ports.remove(principal, ALICE, 80)).toBe(true);
  opened.resolve();
  await expect(adding).rejects.toMatchObject({ code: "port_not_found" });
  expect([...open]).toEqual([]);
});
