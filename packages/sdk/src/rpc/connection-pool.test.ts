import { CLIENT_LIMITS as LIMITS } from "@insien/protocol/client-limits";
import { describe, expect, test } from "vitest";
import { ScriptedSandbox } from "./scripted-sandbox.fixture.ts";

describe("ConnectionPool", () => {
  test("concurrent short calls share one connection", async () => {
    const sandbox = new ScriptedSandbox();
    sandbox.asked = (request, socket) => socket.answer(request, { at: "now" });
    const client = sandbox.client();
    await Promise.all(Array.from({ length: 20 }, () => client.call("ping", {})));
    const used = sandbox.sockets.filter((socket) => socket.requests.length > 0);
    expect(used).toHaveLength(1);
  });

  test("a stream's connection is its own, and is used again after release", async () => {
    const { pool } = new ScriptedSandbox().client();
    const first = await pool.exclusive();
    const second = await pool.exclusive();
    expect(second).not.toBe(first);
    pool.release(first);
    expect(await pool.exclusive()).toBe(first);
  });

  test("a warmed connection is taken while it still opens", async () => {
    const sandbox = new ScriptedSandbox();
    const { pool } = sandbox.client();
    pool.warm();
    await pool.exclusive();
    expect(sandbox.sockets).toHaveLength(1);
  });

  test("keeps a bounded number of idle connections", async () => {
    const sandbox = new ScriptedSandbox();
    const { pool } = sandbox.client();
    const many = await Promise.all(Array.from({ length: 10 }, () => pool.exclusive()));
    for (const connection of many) pool.release(connection);
    expect(sandbox.openSockets).toHaveLength(LIMITS.sdkIdleConnections.value);
  });

  test("a connection that broke while idle is not given out", async () => {
    const sandbox = new ScriptedSandbox();
    const { pool } = sandbox.client();
    const first = await pool.exclusive();
    pool.release(first);
    sandbox.sockets[0]?.cut();
    expect(await pool.exclusive()).not.toBe(first);
  });

  test("closing ends every connection and refuses new ones", async () => {
    const sandbox = new ScriptedSandbox();
    const { pool } = sandbox.client();
    await pool.exclusive();
    pool.close();
    expect(sandbox.openSockets).toHaveLength(0);
    await expect(pool.exclusive()).rejects.toMatchObject({ code: "connection_lost" });
  });
});
