import { createHmac } from "node:crypto";
import { type IncomingMessage, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";

export interface ReceivedWebhook {
  headers: IncomingMessage["headers"];
  /** As it came. */
  body: string;
  /** Parsed. */
  message: { type: string; sequence?: number; sandbox_id?: string; data: Record<string, unknown> };
}

/** Where webhooks are sent: a real server, which notes what comes and answers as it is told. */
export class WebhookReceiver implements AsyncDisposable {
  readonly received: ReceivedWebhook[] = [];
  /** 200 unless a test says otherwise. */
  answer: (response: ServerResponse, webhook: ReceivedWebhook) => void = (response) =>
    void response.end("thanks");
  readonly #server = createServer((request, response) => void this.#take(request, response));

  static async start(): Promise<WebhookReceiver> {
    const receiver = new WebhookReceiver();
    await new Promise<void>((resolve) => receiver.#server.listen(0, "127.0.0.1", resolve));
    return receiver;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/hook`;
  }

  get types(): string[] {
    return this.received.map(({ message }) => message.type);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await text(request);
    const message = JSON.parse(body) as ReceivedWebhook["message"];
    const webhook = { headers: request.headers, body, message };
    this.received.push(webhook);
    this.answer(response, webhook);
  }
}

/** What the receiver of a Standard Webhook computes from what came, to compare. */
export function expectedSignature(secret: string, { headers, body }: ReceivedWebhook): string {
  const key = Buffer.from(secret.replace("whsec_", ""), "base64");
  const content = `${String(headers["webhook-id"])}.${String(headers["webhook-timestamp"])}.${body}`;
  return `v1,${createHmac("sha256", key).update(content).digest("base64")}`;
}
