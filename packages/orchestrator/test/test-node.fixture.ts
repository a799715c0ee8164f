import { join } from "node:path";
import { FakeHost, FakeRuntime } from "@insien/runtime/fake";
import { pino } from "pino";
import { boundedRows, ofCreate } from "../src/app/bounded-rows.ts";
import { LiveSandboxes } from "../src/app/live-sandboxes.ts";
import { MachineFactory } from "../src/app/machine-factory.ts";
import { MachinePool } from "../src/app/machine-pool.ts";
import type { QuotaBounds } from "../src/app/quota-rules.ts";
import { OwnerQuotas } from "../src/app/quotas.ts";
import { SandboxLifecycle } from "../src/app/sandbox-lifecycle.ts";
import { SandboxVolumes } from "../src/app/sandbox-volumes.ts";
import { TemplateCatalog } from "../src/app/template-catalog.ts";
import { VolumeCatalog } from "../src/app/volume-catalog.ts";
import { VolumeMounts } from "../src/app/volume-mounts.ts";
import { VolumeStorage } from "../src/app/volume-storage.ts";
import type { Database } from "../src/db/index.ts";
import { LineServer } from "../src/line/line-server.ts";
import { temporaryDirectory } from "./database.fixture.ts";
import { recordsOf } from "./records.fixture.ts";

const log = pino({ level: "silent" });

/** A node below its doors, with quotas and volumes; several may share a host, as real ones do. */
export class TestNode implements AsyncDisposable {
  readonly runtime: FakeRuntime;
  readonly lifecycle: SandboxLifecycle;
  readonly quotas: OwnerQuotas;
  readonly storage: VolumeStorage;
  readonly volumes: VolumeCatalog;
  readonly mounts: VolumeMounts;
  readonly #pool: MachinePool;
  readonly #lines: LineServer;

  static async start(
    nodeId: string,
    database: Database,
    options: { host?: FakeHost; defaults?: QuotaBounds; nfsServers?: string[] } = {},
  ): Promise<TestNode> {
    return new TestNode(nodeId, database, {
      dataDirectory: join(await temporaryDirectory(), nodeId),
      host: options.host ?? new FakeHost(),
      defaults: options.defaults ?? {},
      nfsServers: options.nfsServers ?? [],
    });
  }

  private constructor(
    nodeId: string,
    database: Database,
    options: {
      dataDirectory: string;
      host: FakeHost;
      defaults: QuotaBounds;
      nfsServers: string[];
    },
  ) {
    const { dataDirectory, host, defaults, nfsServers } = options;
    this.runtime = new FakeRuntime({ ownerId: nodeId, host });
    const { runtime } = this;
    this.#lines = new LineServer({ dataDirectory, jwtSecret: `secret of ${nodeId}` });
    const lines = this.#lines;
    const factory = new MachineFactory(runtime, lines);
    this.#pool = new MachinePool(factory, { parallelRefills: 1, maximum: 1, log });
    const templates = new TemplateCatalog(runtime, [{ name: "base", image: "base" }]);
    const live = new LiveSandboxes(recordsOf(database), (machineId) => {
      void this.lifecycle.examine(machineId);
    });
    this.quotas = new OwnerQuotas(database.quotas, defaults);
    const rows = database.volumes;
    this.storage = new VolumeStorage({ rows, runtime, nodeId, log });
    const { quotas, storage } = this;
    const common = { rows, quotas, storage, events: database.events };
    const store = boundedRows(database.sandboxes, quotas);
    const belongings = [
      {
        check: (request: Parameters<typeof ofCreate>[0] & { ownerId: string }) =>
          quotas.assertRoom(request.ownerId, ofCreate(request)),
      },
      new SandboxVolumes(common),
    ];
    const parts = { store, runtime, lines, factory, templates, nodeId, log, belongings };
    this.lifecycle = new SandboxLifecycle({ ...parts, pool: this.#pool }, live);
    this.volumes = new VolumeCatalog({ ...common, nfsServers });
    this.mounts = new VolumeMounts({ ...common, store, lifecycle: this.lifecycle });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool[Symbol.asyncDispose]();
    await this.#lines[Symbol.asyncDispose]();
  }
}
