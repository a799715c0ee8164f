import { LIMITS, type WebhookMessage } from "@insien/protocol";
import type { Logger } from "pino";
import packageJson from "../../package.json" with { type: "json" };
import type { AttemptOutcome, Busy, ClaimedDelivery, WebhookQueue } from "../db/index.ts";
import { FanOut } from "./fan-out.ts";
import { explain, post } from "./post.ts";
import { signatureHeaders } from "./signature.ts";

const USER_AGENT = `insien/${packageJson.version}`;
const GONE = 410;
/** Between looks for a transaction that is about to end. */
const SOON_MS = 100;
const PURGE_MS = 5 * 60_000;

export interface WebhookDelivererParts {
  queue: WebhookQueue;
  /** Also to addresses of this host and its networks. */
  allowPrivate: boolean;
  log: Logger;
  /** For the metrics: how an attempt ended. */
  onAttempt?: (attempt: { isAccepted: boolean; seconds: number }) => void;
  /** Shorter pauses, for tests. */
  timings?: Partial<DelivererTimings>;
}

export interface DelivererTimings {
  pollMs: number;
  attemptMs: number;
  retryMs: number;
}

/**
 * Turns events into deliveries and sends those that are due. Any number of processes may run one on
 * the same database; what one of them was sending when it was killed, another sends again.
 */
export class WebhookDeliverer implements AsyncDisposable {
  readonly #parts: WebhookDelivererParts;
  readonly #timings: DelivererTimings;
  readonly #fanOut: FanOut;
  readonly #sending = new Map<ClaimedDelivery, Promise<void>>();
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  #wake: (() => void) | undefined;
  /** Somebody called meanwhile: there is no pause before the next round. */
  #called = false;
  #purgeAt = 0;

  constructor(parts: WebhookDelivererParts) {
    this.#parts = parts;
    this.#fanOut = new FanOut(parts.queue);
    this.#timings = {
      pollMs: LIMITS.webhookPollMs.value,
      attemptMs: LIMITS.webhookAttemptMs.value,
      retryMs: LIMITS.webhookRetryMs.value,
      ...parts.timings,
    };
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** What is being sent is given up, and sent again by whoever takes it up next. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.#call();
    await this.#running;
    await Promise.all(this.#sending.values());
  }

  async #run(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const pauseMs = await this.#round().catch((error: unknown) => {
        this.#parts.log.warn({ err: error }, "webhooks were not looked after; it is tried again");
        return this.#timings.pollMs;
      });
      await this.#pause(pauseMs);
    }
  }

  /** Gives how long to wait before the next one. */
  async #round(): Promise<number> {
    const more = await this.#fanOut.round();
    await this.#takeUp();
    await this.#purge();
    return more ? SOON_MS : this.#timings.pollMs;
  }

  async #takeUp(): Promise<void> {
    const free = LIMITS.webhookAttemptsTotalAtOnce.value - this.#sending.size;
    if (free <= 0 || this.#stop.signal.aborted) return;
    const claimed = await this.#parts.queue.claim(this.#busy(), free);
    for (const delivery of claimed) {
      const done = this.#attempt(delivery).finally(() => {
        this.#sending.delete(delivery);
        // Where one was, the next may be due.
        this.#call();
      });
      this.#sending.set(delivery, done);
    }
  }

  #busy(): Busy[] {
    const byWebhook = Map.groupBy(this.#sending.keys(), ({ webhookId }) => webhookId);
    return [...byWebhook].map(([webhookId, deliveries]) => ({
      webhookId,
      ownerId: deliveries[0]?.ownerId ?? "",
      attempts: deliveries.length,
    }));
  }

  async #attempt(delivery: ClaimedDelivery): Promise<void> {
    const { queue, log } = this.#parts;
    try {
      const startedAt = performance.now();
      const { status, error } = await this.#send(delivery);
      const seconds = (performance.now() - startedAt) / 1000;
      this.#parts.onAttempt?.({ isAccepted: error === undefined, seconds });
      const interrupted = this.#stop.signal.aborted;
      const retryMs = interrupted ? 0 : this.#retryMs(delivery.attempts);
      await queue.settle(delivery, { status, error, retryMs });
      if (status === GONE)
        await queue.switchOff(delivery.webhookId, "Its server answered 410 Gone");
    } catch (error) {
      log.warn(
        { err: error, deliveryId: delivery.id },
        "what came of a webhook's delivery could not be written down; it is sent again",
      );
    }
  }

  async #send(delivery: ClaimedDelivery): Promise<Omit<AttemptOutcome, "retryMs">> {
    const timeout = AbortSignal.timeout(this.#timings.attemptMs);
    const body = JSON.stringify(messageOf(delivery));
    const timestamp = Math.floor(Date.now() / 1000);
    try {
      const status = await post(delivery.url, {
        body,
        headers: {
          "content-type": "application/json",
          "user-agent": USER_AGENT,
          ...signatureHeaders(delivery.secret, { id: delivery.id, timestamp, body }),
        },
        allowPrivate: this.#parts.allowPrivate,
        signal: AbortSignal.any([timeout, this.#stop.signal]),
      });
      return { status, error: complaintAbout(status) };
    } catch (error) {
      return { status: undefined, error: explain(error, { timedOut: timeout.aborted }) };
    }
  }

  #retryMs(attempts: number): number | undefined {
    if (attempts >= LIMITS.webhookAttempts.value) return undefined;
    return Math.min(this.#timings.retryMs * 6 ** (attempts - 1), LIMITS.webhookRetryMsMax.value);
  }

  async #purge(): Promise<void> {
    if (performance.now() < this.#purgeAt) return;
    while ((await this.#parts.queue.purge()) === LIMITS.purgeRows.value);
    this.#purgeAt = performance.now() + PURGE_MS;
  }

  #call(): void {
    this.#called = true;
    this.#wake?.();
  }

  async #pause(pauseMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = setTimeout(resolve, this.#called ? 0 : pauseMs);
    await promise;
    clearTimeout(timer);
    this.#called = false;
  }
}

const messageOf = ({ event, sequence, sandboxId }: ClaimedDelivery): WebhookMessage => ({
  type: event.type,
  timestamp: event.at,
  sequence,
  sandbox_id: sandboxId,
  data: event.data,
});

function complaintAbout(status: number): string | undefined {
  if (status >= 200 && status < 300) return undefined;
  if (status >= 300 && status < 400)
    return `The answer was a redirect (${status}), which is not followed`;
  return `The answer was ${status}`;
}
