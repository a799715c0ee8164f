CREATE TABLE "event_readers" (
	"name" text PRIMARY KEY NOT NULL,
	"position" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "leases" (
	"name" text PRIMARY KEY NOT NULL,
	"holder" text NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sandbox_ports" (
	"sandbox_id" text NOT NULL,
	"internal" integer NOT NULL,
	"external" integer,
	"protocol" text NOT NULL,
	"subdomain" text,
	"public" boolean NOT NULL,
	"node_id" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "sandbox_ports_sandbox_id_internal_pk" PRIMARY KEY("sandbox_id","internal")
);
--> statement-breakpoint
CREATE TABLE "quotas" (
	"owner_id" text PRIMARY KEY NOT NULL,
	"limits" jsonb NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "usage_samples" (
	"sandbox_id" text NOT NULL,
	"step_seconds" integer NOT NULL,
	"at" timestamp (3) with time zone NOT NULL,
	"cpu_cores" double precision NOT NULL,
	"memory_bytes" bigint NOT NULL,
	"memory_limit_bytes" bigint NOT NULL,
	"pids" integer NOT NULL,
	"network_received_bytes" bigint NOT NULL,
	"network_sent_bytes" bigint NOT NULL,
	"disk_read_bytes" bigint NOT NULL,
	"disk_written_bytes" bigint NOT NULL,
	"disk_bytes" bigint,
	CONSTRAINT "usage_samples_sandbox_id_step_seconds_at_pk" PRIMARY KEY("sandbox_id","step_seconds","at")
);
--> statement-breakpoint
CREATE TABLE "sandbox_mounts" (
	"sandbox_id" text NOT NULL,
	"volume_id" text NOT NULL,
	"mount_path" text NOT NULL,
	"read_only" boolean NOT NULL,
	CONSTRAINT "sandbox_mounts_sandbox_id_volume_id_pk" PRIMARY KEY("sandbox_id","volume_id")
);
--> statement-breakpoint
CREATE TABLE "volumes" (
	"id" text PRIMARY KEY NOT NULL,
	"owner_id" text NOT NULL,
	"name" text NOT NULL,
	"type" text NOT NULL,
	"driver" text NOT NULL,
	"size_bytes" bigint,
	"mount_path" text,
	"options" jsonb,
	"sandbox_id" text,
	"node_id" text,
	"used_bytes" bigint,
	"created_at" timestamp (3) with time zone NOT NULL,
	"deleted_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "webhook_deliveries" (
	"id" text PRIMARY KEY NOT NULL,
	"webhook_id" text NOT NULL,
	"event_sequence" bigint NOT NULL,
	"sandbox_id" text NOT NULL,
	"event" jsonb NOT NULL,
	"state" text NOT NULL,
	"attempts" integer NOT NULL,
	"response_status" integer,
	"error" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"last_attempt_at" timestamp (3) with time zone,
	"next_attempt_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "webhooks" (
	"id" text PRIMARY KEY NOT NULL,
	"owner_id" text NOT NULL,
	"url" text NOT NULL,
	"secret" text NOT NULL,
	"events" text[] NOT NULL,
	"description" text,
	"active" boolean NOT NULL,
	"inactive_reason" text,
	"failures" integer NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "read_only" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "gpu" text;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "entrypoint" jsonb;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "command" jsonb;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "max_retries" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "main" jsonb;--> statement-breakpoint
ALTER TABLE "sandboxes" ADD COLUMN "disk_bytes" bigint;--> statement-breakpoint
ALTER TABLE "sandbox_ports" ADD CONSTRAINT "sandbox_ports_sandbox_id_sandboxes_id_fk" FOREIGN KEY ("sandbox_id") REFERENCES "public"."sandboxes"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "usage_samples" ADD CONSTRAINT "usage_samples_sandbox_id_sandboxes_id_fk" FOREIGN KEY ("sandbox_id") REFERENCES "public"."sandboxes"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sandbox_mounts" ADD CONSTRAINT "sandbox_mounts_sandbox_id_sandboxes_id_fk" FOREIGN KEY ("sandbox_id") REFERENCES "public"."sandboxes"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "sandbox_mounts" ADD CONSTRAINT "sandbox_mounts_volume_id_volumes_id_fk" FOREIGN KEY ("volume_id") REFERENCES "public"."volumes"("id") ON DELETE restrict ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "webhook_deliveries" ADD CONSTRAINT "webhook_deliveries_webhook_id_webhooks_id_fk" FOREIGN KEY ("webhook_id") REFERENCES "public"."webhooks"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "sandbox_ports_subdomain" ON "sandbox_ports" USING btree ("subdomain");--> statement-breakpoint
CREATE UNIQUE INDEX "sandbox_ports_external" ON "sandbox_ports" USING btree ("node_id","external") WHERE "sandbox_ports"."external" is not null;--> statement-breakpoint
CREATE INDEX "usage_samples_age" ON "usage_samples" USING btree ("step_seconds","at");--> statement-breakpoint
CREATE UNIQUE INDEX "sandbox_mounts_path" ON "sandbox_mounts" USING btree ("sandbox_id","mount_path");--> statement-breakpoint
CREATE INDEX "sandbox_mounts_of_volume" ON "sandbox_mounts" USING btree ("volume_id");--> statement-breakpoint
CREATE UNIQUE INDEX "volumes_network_name" ON "volumes" USING btree ("owner_id","name") WHERE "volumes"."type" = 'network' and "volumes"."deleted_at" is null;--> statement-breakpoint
CREATE UNIQUE INDEX "volumes_local_name" ON "volumes" USING btree ("sandbox_id","name") WHERE "volumes"."type" = 'local' and "volumes"."deleted_at" is null;--> statement-breakpoint
CREATE INDEX "volumes_of_node" ON "volumes" USING btree ("node_id");--> statement-breakpoint
CREATE UNIQUE INDEX "webhook_deliveries_once" ON "webhook_deliveries" USING btree ("webhook_id","event_sequence");--> statement-breakpoint
CREATE INDEX "webhook_deliveries_due" ON "webhook_deliveries" USING btree ("next_attempt_at") WHERE "webhook_deliveries"."state" = 'pending';--> statement-breakpoint
CREATE INDEX "webhook_deliveries_log" ON "webhook_deliveries" USING btree ("webhook_id","created_at");--> statement-breakpoint
CREATE INDEX "webhook_deliveries_age" ON "webhook_deliveries" USING btree ("created_at");--> statement-breakpoint
CREATE INDEX "webhooks_of_owner" ON "webhooks" USING btree ("owner_id","created_at");