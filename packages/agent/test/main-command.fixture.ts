import { json, text } from "node:stream/consumers";
import type { AgentEvent, BindRequest, LogLine, MainCommand, MainControl } from "@insien/protocol";
import { waitFor } from "@insien/test-kit";
import type { TestAgent } from "./agent-process.ts";

export type MainEvent = Extract<AgentEvent, { type: "main" }>;

/** A program of the shell's. */
export const shell = (script: string, maxRetries: number = 0): MainCommand => ({
  argv: ["/bin/sh", "-c", script],
  maxRetries,
});

export async function bind(agent: TestAgent, request: Partial<BindRequest>): Promise<number> {
  const body = JSON.stringify({ sandboxId: "mainsandbox", env: {}, ...request });
  const response = await agent.line.fetch("/control/bind", { method: "POST", body });
  await text(response);
  return response.statusCode ?? 0;
}

export async function control(agent: TestAgent, body: MainControl): Promise<MainEvent> {
  const response = await agent.line.fetch("/control/main", {
    method: "POST",
    body: JSON.stringify(body),
  });
  return (await json(response)) as MainEvent;
}

/** What the agent tells its orchestrator, from now on. */
export class Events {
  readonly all: AgentEvent[] = [];
  #rest = "";

  static async of(agent: TestAgent): Promise<Events> {
    const events = new Events();
    const response = await agent.line.fetch("/control/events");
    response.on("data", (chunk: Buffer) => events.#take(chunk.toString()));
    return events;
  }

  get main(): MainEvent[] {
    return this.all.filter((event) => event.type === "main");
  }

  get commands(): number | undefined {
    return this.all.findLast((event) => event.type === "activity")?.commands;
  }

  state(state: MainEvent["state"], restarts?: number): Promise<MainEvent> {
    return waitFor(
      () =>
        this.main.findLast(
          (event) =>
            event.state === state && (restarts === undefined || event.restarts === restarts),
        ),
      { describe: `the main command to be ${state}`, intervalMs: 5 },
    );
  }

  #take(chunk: string): void {
    const lines = (this.#rest + chunk).split("\n");
    this.#rest = lines.pop() ?? "";
    this.all.push(...lines.map((line) => JSON.parse(line) as AgentEvent));
  }
}

export const linesOf = (ndjson: string): LogLine[] =>
  ndjson
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as LogLine);

export async function readLog(agent: TestAgent, query: string = ""): Promise<LogLine[]> {
  return linesOf(await text(await agent.line.fetch(`/logs${query}`)));
}

export const textsOf = (lines: readonly LogLine[], stream: LogLine["stream"]): string[] =>
  lines.filter((line) => line.stream === stream).map((line) => line.text);
