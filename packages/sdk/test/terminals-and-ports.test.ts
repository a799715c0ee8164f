import { Duplex } from "node:stream";
import type { Sandbox } from "@insien/sandbox";
import { waitFor } from "@insien/test-kit";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasBubblewrap, SdkServer } from "./server.fixture.ts";

describe.skipIf(!hasBubblewrap)("terminals and ports", () => {
  let server: SdkServer;
  let sandbox: Sandbox;
  beforeAll(async () => {
    server = await SdkServer.start();
    sandbox = await server.create();
  });
  afterAll(() => server?.[Symbol.asyncDispose]());

  const screen = () => {
    const seen = {
      text: "",
      onData: (bytes: Uint8Array) => {
        seen.text += Buffer.from(bytes).toString();
      },
    };
    return seen;
  };

  test("a terminal takes input, has a size, and several viewers see the same", async () => {
    const first = screen();
    const command = ["/bin/sh"];
    const terminal = await sandbox.terminals.open({
      command,
      cols: 90,
      rows: 30,
      onData: first.onData,
    });
    await terminal.write("stty size; echo $((40+2))\n");
    await waitFor(() => /30 90\s+42/.test(first.text), { describe: "size and sum on the screen" });
    const second = screen();
    const sizes: unknown[] = [];
    const other = await sandbox.terminals.attach(terminal.terminalId, {
      onData: second.onData,
      onResize: (size) => sizes.push(size),
    });
    await waitFor(() => /30 90\s+42/.test(second.text), { describe: "the scrollback" });
    await terminal.resize(100, 40);
    await waitFor(() => sizes.length > 0, { describe: "the other viewer to hear of the size" });
    const [info] = await sandbox.terminals.list();
    expect(info).toMatchObject({
      terminalId: terminal.terminalId,
      cols: 100,
      rows: 40,
      viewers: 2,
    });
    await other.write("exit 7\n");
    expect(await terminal.wait()).toMatchObject({ exitCode: 7 });
    expect(await other.wait()).toMatchObject({ exitCode: 7 });
  });

  test("closing a terminal ends it for everyone", async () => {
    const terminal = await sandbox.terminals.open({ command: ["/bin/sh"] });
    expect(await terminal.close()).toBe(true);
    await terminal.wait();
  });

  const SERVER = `
    const net = require("node:net");
    net.createServer({ allowHalfOpen: true }, (socket) => {
      let bytes = 0;
      socket.on("data", (chunk) => { bytes += chunk.length; });
      socket.on("end", () => socket.end("got " + bytes));
    }).listen(8111);
  `;

  test("bytes to a port and back, with an end of its own in each direction", async () => {
    await expect(sandbox.ports.open(8111)).rejects.toMatchObject({ code: "port_not_listening" });
    await sandbox.writeFile("server.js", SERVER);
    await using listener = await sandbox.commands.start(["node", "server.js"]);
    const listening = await sandbox.ports.waitFor(8111);
    expect(listening.port).toBe(8111);
    await using connection = await sandbox.ports.open(8111);
    const stream = Duplex.fromWeb(connection);
    for (let piece = 0; piece < 40; piece += 1) stream.write(Buffer.alloc(100_000));
    stream.end();
    const answer = Buffer.concat(await Array.fromAsync(stream as AsyncIterable<Buffer>)).toString();
    expect(answer).toBe("got 4000000");
    expect(listener.pid).toBeGreaterThan(0);
  });
});
