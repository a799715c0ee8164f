import { InsienError } from "@insien/protocol";
import type { Metrics } from "../app/metrics.ts";
import type { Principal } from "../app/principal.ts";
import { Counter, EXPOSITION_TYPE, type Family, Histogram, exposition } from "./families.ts";

const REQUEST_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const CREATE_SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const ROUND_SECONDS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

type Source = () => Family[] | Promise<Family[]>;

/** What this process counts, and what it asks others for whenever the numbers are read. */
export class ServerMetrics implements Metrics {
  readonly requests = new Counter("insien_http_requests_total", "Requests answered.");
  readonly requestSeconds = new Histogram(
    "insien_http_request_duration_seconds",
    "From a request's headers to the end of its answer.",
    REQUEST_SECONDS,
  );
  readonly creates = new Counter(
    "insien_sandbox_creates_total",
    "Sandboxes made, of a warm machine or a new one, and failures to make one.",
  );
  readonly createSeconds = new Histogram(
    "insien_sandbox_create_duration_seconds",
    "From a create's beginning to a sandbox that runs.",
    CREATE_SECONDS,
  );
  readonly webhooks = new Counter(
    "insien_webhook_attempts_total",
    "Attempts to deliver an event, accepted or refused by who asked for it.",
  );
  readonly webhookSeconds = new Histogram(
    "insien_webhook_attempt_duration_seconds",
    "From an attempt's beginning to its answer.",
    REQUEST_SECONDS,
  );
  readonly rounds = new Histogram(
    "insien_monitor_round_duration_seconds",
    "Rounds of the monitor inside this process.",
    ROUND_SECONDS,
  );
  readonly cleaned = new Counter(
    "insien_cleanup_removals_total",
    "What the cleanup worker inside this process removed, or failed to.",
  );
  readonly #sources: Source[] = [];

  /** Asked each time that the numbers are read. */
  add(source: Source): void {
    this.#sources.push(source);
  }

  request(request: { method: string; route: string; status: number; seconds: number }): void {
    const { method, route, status, seconds } = request;
    this.requests.add({ method, route, status: String(status) });
    this.requestSeconds.observe({ method, route }, seconds);
  }

  created(create: { isWarm: boolean; isMade: boolean; seconds: number }): void {
    const kind = create.isWarm ? "warm" : "cold";
    this.creates.add({ kind, outcome: create.isMade ? "made" : "failed" });
    if (create.isMade) this.createSeconds.observe({ kind }, create.seconds);
  }

  attempted(attempt: { isAccepted: boolean; seconds: number }): void {
    this.webhooks.add({ outcome: attempt.isAccepted ? "accepted" : "refused" });
    this.webhookSeconds.observe({}, attempt.seconds);
  }

  async read(principal: Principal): Promise<{ contentType: string; text: string }> {
    if (!principal.admin)
      throw new InsienError("forbidden", "Only an administrator's key may read the metrics");
    const own = [
      this.requests,
      this.requestSeconds,
      this.creates,
      this.createSeconds,
      this.webhooks,
      this.webhookSeconds,
      this.rounds,
      this.cleaned,
    ].map((each) => each.family);
    // A source that fails costs its own series: what is left may tell why.
    const asked = await Promise.allSettled(this.#sources.map(async (source) => source()));
    const others = asked.flatMap((each) => (each.status === "fulfilled" ? each.value : []));
    return { contentType: EXPOSITION_TYPE, text: exposition([...own, ...others]) };
  }
}
