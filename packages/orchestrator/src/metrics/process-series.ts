import { readdir, statfs } from "node:fs/promises";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { type Family, family, gauge } from "./families.ts";

const NANOSECONDS = 1e9;
const MICROSECONDS = 1e6;
const RESOLUTION_MS = 20;
const QUANTILES = [50, 99, 100];

/** This process and its host. Each reading of the event loop's delay is since the one before. */
export class ProcessSeries implements Disposable {
  readonly #dataDirectory: string;
  readonly #delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS });

  constructor(dataDirectory: string) {
    this.#dataDirectory = dataDirectory;
    this.#delay.enable();
  }

  [Symbol.dispose](): void {
    this.#delay.disable();
  }

  async families(): Promise<Family[]> {
    const { user, system } = process.cpuUsage();
    const memory = process.memoryUsage();
    const disk = await statfs(this.#dataDirectory);
    const descriptors = await readdir("/proc/self/fd").catch(() => []);
    const startedAt = (performance.timeOrigin / 1000).toFixed(3);
    return [
      family("counter", "process_cpu_seconds_total", "Processor time of the server.", [
        { labels: {}, value: (user + system) / MICROSECONDS },
      ]),
      gauge("process_resident_memory_bytes", "Resident memory of the server.", memory.rss),
      gauge("nodejs_heap_used_bytes", "JavaScript heap in use.", memory.heapUsed),
      gauge("process_start_time_seconds", "When the server started.", Number(startedAt)),
      gauge("process_open_fds", "Open file descriptors.", descriptors.length),
      this.#eventLoop(),
      gauge(
        "insien_host_disk_free_bytes",
        "Free space on the data directory's disk.",
        disk.bavail * disk.bsize,
      ),
      gauge(
        "insien_host_disk_size_bytes",
        "Size of the data directory's disk.",
        disk.blocks * disk.bsize,
      ),
    ];
  }

  #eventLoop(): Family {
    const series = QUANTILES.map((percent) => ({
      labels: { quantile: String(percent / 100) },
      // Each measurement waits for the resolution before the delay begins.
      value: Math.max(0, this.#delay.percentile(percent) / NANOSECONDS - RESOLUTION_MS / 1000),
    }));
    this.#delay.reset();
    const help = "Delay of the event loop since the last time that it was asked for.";
    return family("gauge", "nodejs_eventloop_lag_seconds", help, series);
  }
}
