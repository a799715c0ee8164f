import type { IncomingMessage, ServerResponse } from "node:http";
import { InsienError } from "@insien/protocol";
import { readMainControl } from "../control/main-body.ts";
import type { MainEvent, Supervisor } from "./supervisor.ts";

/**
 * `POST /control/main` with a `MainControl`: answered with the `main` event of the state that it led
 * to, once it is reached. A restart and a stop may take as long as the main command's grace.
 */
export async function handleMainControl(
  request: IncomingMessage,
  response: ServerResponse,
  supervisor: Supervisor,
): Promise<void> {
  if (request.method !== "POST") {
    response.setHeader("Allow", "POST");
    throw new InsienError("route_not_found", `/control/main does not take ${request.method}`);
  }
  const body = JSON.stringify(await act(supervisor, request));
  response.writeHead(200, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
  });
  response.end(body);
}

async function act(supervisor: Supervisor, request: IncomingMessage): Promise<MainEvent> {
  const control = await readMainControl(request);
  switch (control.action) {
    case "start":
      return supervisor.start(control.main);
    case "restart":
      return supervisor.restart();
    case "stop":
      return supervisor.stop(control.graceMs);
  }
}
