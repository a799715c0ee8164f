/** `sandbox.ports`: TCP ports inside the sandbox. */
import { platform } from "#platform";
import type { PortInfo } from "@insien/protocol";
import type { RequestOptions } from "../configuration.ts";
import { pause, withDeadline } from "../deadline.ts";
import { sandboxError } from "../errors.ts";
import type { PortConfig } from "../models/port-config.ts";
import type { SessionSource } from "../session.ts";
import { PortConnection } from "./port-connection.ts";
import {
  changePort,
  linkPort,
  publishedPorts,
  publishPort,
  unpublishPort,
  type LinkOptions,
  type PortLink,
  type PublishedPort,
} from "./published-ports.ts";

const WAIT_POLL_MS = 50;

export class Ports {
  readonly #session: SessionSource;

  constructor(session: SessionSource) {
    this.#session = session;
  }

  /** What listens. */
  async list(options: RequestOptions = {}): Promise<PortInfo[]> {
    const { rpc } = await this.#session(options);
    return (await rpc.call("ports", {}, options)).ports;
  }

  /** Connects to a port. Throws `port_not_listening` when nothing does. */
  async open(port: number, options: RequestOptions = {}): Promise<PortConnection> {
    const { agentUrl, api } = await this.#session(options);
    const { apiKey, requestTimeoutMs } = api.configuration;
    const timeoutMs = options.requestTimeoutMs ?? requestTimeoutMs;
    const deadline = { what: `connecting to port ${port}`, signal: options.signal, timeoutMs };
    return withDeadline(deadline, (signal) =>
      PortConnection.open(platform, `${agentUrl}/ports/${port}`, { apiKey, signal }),
    );
  }

  /** Waits until something listens on the port; `timeout` when nothing does within 30 s. */
  async waitFor(
    port: number,
    options: RequestOptions & { timeoutMs?: number | undefined } = {},
  ): Promise<PortInfo> {
    const { timeoutMs = 30_000, signal } = options;
    const deadline = { what: `waiting for port ${port}`, signal, timeoutMs };
    return withDeadline(deadline, async (until) => {
      for (;;) {
        const ports = await this.list({ ...options, signal: until });
        const found = ports.find((listening) => listening.port === port);
        if (found !== undefined) return found;
        await pause(WAIT_POLL_MS, until);
      }
    });
  }

  /** Opens a port to the outside: with a key or a signed link only, unless it is `public`. */
  async publish(
    port: number | PortConfig,
    options: RequestOptions & Omit<PortConfig, "internal"> = {},
  ): Promise<PublishedPort> {
    const { signal, requestTimeoutMs, ...rest } = options;
    const config = typeof port === "number" ? { internal: port, ...rest } : { ...port, ...rest };
    return publishPort(await this.#session(options), config, { signal, requestTimeoutMs });
  }

  /** What is published, whether anything listens or not. */
  async published(options: RequestOptions = {}): Promise<PublishedPort[]> {
    return publishedPorts(await this.#session(options), options);
  }

  /** Opens a published port to everyone who has its address, or to nobody without key or link. */
  async setPublic(
    port: number,
    isPublic: boolean,
    options: RequestOptions = {},
  ): Promise<PublishedPort> {
    return changePort(await this.#session(options), port, { public: isPublic }, options);
  }

  /** `false` when it was not published. */
  async unpublish(port: number, options: RequestOptions = {}): Promise<boolean> {
    return unpublishPort(await this.#session(options), port, options);
  }

  /** The address of a published port. Throws `port_not_found`. */
  async url(port: number, options: RequestOptions = {}): Promise<string> {
    const { id } = await this.#session(options);
    const found = (await this.published(options)).find(({ internal }) => internal === port);
    const url = found?.url ?? found?.externalAddress;
    if (url !== undefined) return url;
    throw sandboxError("port_not_found", `port ${port} of sandbox ${id} is not published`, {
      hint: `Publish it first: ports.publish(${port}).`,
    });
  }

  /** An address that opens a published port for whoever has it, until it expires. */
  async link(port: number, options: LinkOptions = {}): Promise<PortLink> {
    return linkPort(await this.#session(options), port, options);
  }
}
