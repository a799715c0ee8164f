import { findPackageJSON } from "node:module";
import { dirname, join } from "node:path";
import type { RpcNotice } from "@insien/protocol";
import { waitFor } from "@insien/test-kit";
import { bindLibc } from "../src/native/libc.ts";
import { Accounts } from "../src/processes/accounts.ts";
import { Children } from "../src/processes/children.ts";
import type { RpcConnection } from "../src/rpc/connection.ts";
import { terminalDoor, TerminalTable } from "../src/terminals/index.ts";

/** The agent finds its addons beside the bundle that runs; here they lie where npm put them. */
function standInKitDirectory(): void {
  const name = `@koromix/koffi-linux-${process.arch}`;
  const directory = dirname(findPackageJSON(name, import.meta.url) ?? "");
  process.argv[1] = join(directory, `linux_${process.arch}`, "agent.cjs");
}

/** Terminals on this machine itself, as the agent's main puts them together. */
export function makeTerminals(user: string) {
  standInKitDirectory();
  const libc = bindLibc();
  const children = new Children(libc);
  const accounts = new Accounts(user);
  let changes = 0;
  const table = new TerminalTable({
    libc,
    children,
    defaultsFor: (name) => ({
      account: name === undefined ? accounts.default() : accounts.find(name),
      env: { BOUND: "yes" },
    }),
    onChange: () => void (changes += 1),
  });
  return {
    table,
    ...terminalDoor(table),
    get changes() {
      return changes;
    },
    [Symbol.dispose]: () => children[Symbol.dispose](),
  };
}

/** A client of which one can choose how fast it reads. */
export class TestViewer implements RpcConnection {
  readonly notices: RpcNotice[] = [];
  readonly #closed = new AbortController();
  #channels = 0;
  #output = "";
  #firstOffset: number | undefined;
  #nextOffset: number | undefined;
  #holds = 0;
  #whenDrained: (() => void)[] = [];
  congested = false;

  get signal(): AbortSignal {
    return this.#closed.signal;
  }
  get output(): string {
    return this.#output;
  }
  get firstOffset(): number | undefined {
    return this.#firstOffset;
  }
  get nextOffset(): number | undefined {
    return this.#nextOffset;
  }
  get held(): boolean {
    return this.#holds > 0;
  }
  nextChannel(): number {
    this.#channels += 1;
    return this.#channels;
  }
  notify(notice: RpcNotice): void {
    this.notices.push(notice);
    if (notice.type === "dropped") this.#nextOffset = undefined;
  }
  sendBytes(_kind: string, _channel: number, offset: number, payload: Uint8Array): void {
    if (this.#nextOffset !== undefined && offset !== this.#nextOffset) {
      throw new Error(`expected offset ${this.#nextOffset}, got ${offset}`);
    }
    this.#firstOffset ??= offset;
    this.#nextOffset = offset + payload.byteLength;
    this.#output += Buffer.from(payload).toString("latin1");
  }
  drained(): Promise<void> {
    return new Promise((resolve) => this.#whenDrained.push(resolve));
  }
  readOn(): void {
    this.congested = false;
    for (const resolve of this.#whenDrained.splice(0)) resolve();
  }
  holdReading(condition: Promise<unknown>): void {
    this.#holds += 1;
    const release = () => void (this.#holds -= 1);
    condition.then(release, release);
  }
  close(): void {
    this.#closed.abort();
  }
  /** Waits until `text` has been shown so many times. */
  async sees(text: string, times: number = 1): Promise<void> {
    await waitFor(
      () => {
        if (this.#output.split(text).length > times) return true;
        throw new Error(`only ${JSON.stringify(this.#output.slice(-400))}`);
      },
      { describe: `${JSON.stringify(text)} to be shown` },
    );
  }
  notice<Type extends RpcNotice["type"]>(type: Type) {
    return waitFor(
      () =>
        this.notices.find(
          (notice): notice is Extract<RpcNotice, { type: Type }> => notice.type === type,
        ),
      { describe: `a ${type} notice` },
    );
  }
}
