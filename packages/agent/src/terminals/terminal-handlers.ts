import { InsienError, type Frame, type RpcType } from "@insien/protocol";
import { signalNumber } from "../processes/signals.ts";
import type { RpcConnection, RpcHandlers } from "../rpc/connection.ts";
import type { TerminalTable } from "./terminal-table.ts";
import type { Terminal } from "./terminal.ts";

type Types = Extract<RpcType, `terminal${string}`>;

export interface TerminalDoor {
  handlers: RpcHandlers<Types>;
  /** A `terminalInput` frame, by the channel that an open or attach gave on the same connection. */
  inputFrame: (frame: Frame, connection: RpcConnection) => void;
}

function numberOf(signal: string): number {
  const number = signalNumber(signal);
  if (number !== undefined) return number;
  throw new InsienError("invalid_request", `there is no signal ${signal}`, {
    details: { field: "signal" },
  });
}

/** Answers to the calls about terminals. */
export function terminalDoor(table: TerminalTable): TerminalDoor {
  const channels = new WeakMap<RpcConnection, Map<number, Terminal>>();

  const attach = (terminal: Terminal, connection: RpcConnection): number => {
    const { channel } = terminal.attach(connection);
    const byChannel = channels.get(connection) ?? new Map<number, Terminal>();
    channels.set(connection, byChannel.set(channel, terminal));
    return channel;
  };

  return {
    handlers: {
      terminalOpen(request, connection) {
        const terminal = table.open(request);
        const { terminalId, pid } = terminal;
        return { terminalId, pid, channel: attach(terminal, connection) };
      },
      terminalAttach({ terminalId }, connection) {
        const terminal = table.get(terminalId);
        const channel = attach(terminal, connection);
        return { terminal: terminal.info(), channel };
      },
      terminalDetach({ terminalId }, connection) {
        table.get(terminalId).detach(connection);
        return {};
      },
      async terminalInput({ terminalId, data, encoding }) {
        await table.get(terminalId).input(Buffer.from(data, encoding ?? "utf8"));
        return {};
      },
      terminalResize({ terminalId, cols, rows }) {
        table.get(terminalId).resize({ cols, rows });
        return {};
      },
      terminalSignal: ({ terminalId, signal }) => ({
        delivered: table.get(terminalId).signal(numberOf(signal)),
      }),
      terminalClose({ terminalId }) {
        const terminal = table.find(terminalId);
        terminal?.close();
        return { closed: terminal !== undefined };
      },
      terminalList: () => ({ terminals: table.list().map((terminal) => terminal.info()) }),
    },
    inputFrame(frame, connection) {
      const terminal = channels.get(connection)?.get(frame.channel);
      if (terminal === undefined) return;
      const taken = terminal.input(frame.payload);
      if (terminal.full) connection.holdReading(taken);
    },
  };
}
