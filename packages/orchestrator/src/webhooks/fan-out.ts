import type { EventRange, WebhookQueue } from "../db/index.ts";
import { LIMITS } from "@insien/protocol";

/** Turns events into deliveries, each event once, in the order of their numbers. */
export class FanOut {
  readonly #queue: WebhookQueue;
  /** The end of a range whose last events may not be seen yet, and who is writing them. */
  #unsettled: { end: number; writers: ReadonlySet<string> } | undefined;

  constructor(queue: WebhookQueue) {
    this.#queue = queue;
  }

  /** Gives whether there is, or may be in a moment, more to do. */
  async round(): Promise<boolean> {
    const range = await this.#queue.range();
    if (range === undefined) {
      this.#unsettled = undefined;
      return false;
    }
    this.#unsettled ??= await this.#look(range);
    if (this.#unsettled === undefined) return false;
    const { end, writers } = this.#unsettled;
    if (writers.size > 0) {
      const present = await this.#queue.writers();
      if (!present.isDisjointFrom(writers)) return true;
    }
    this.#unsettled = undefined;
    await this.#settle({ position: range.position, end });
    return false;
  }

  /** The numbers were read before this asks who is writing; the other way round would miss some. */
  async #look({
    position,
    end,
  }: EventRange): Promise<{ end: number; writers: Set<string> } | undefined> {
    return end > position ? { end, writers: await this.#queue.writers() } : undefined;
  }

  async #settle({ position, end }: EventRange): Promise<void> {
    for (let reached = position; reached < end;) {
      const moved = await this.#queue.fanOut({ position: reached, end });
      if (moved === undefined) return;
      reached = moved.position;
      for (const webhookId of moved.webhookIds) await this.#bound(webhookId);
    }
  }

  async #bound(webhookId: string): Promise<void> {
    const maximum = LIMITS.webhookPendingDeliveries.value;
    if ((await this.#queue.waiting(webhookId, maximum + 1)) <= maximum) return;
    await this.#queue.switchOff(webhookId, `More than ${maximum} deliveries were waiting`);
  }
}
