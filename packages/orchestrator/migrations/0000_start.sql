CREATE TABLE "api_keys" (
	"id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"owner_id" text NOT NULL,
	"prefix" text NOT NULL,
	"hash" text NOT NULL,
	"admin" boolean NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"last_used_at" timestamp (3) with time zone,
	"revoked_at" timestamp (3) with time zone,
	CONSTRAINT "api_keys_hash_unique" UNIQUE("hash")
);
--> statement-breakpoint
CREATE TABLE "installation" (
	"id" text PRIMARY KEY NOT NULL,
	"owner_label" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"singleton" boolean DEFAULT true NOT NULL,
	CONSTRAINT "installation_singleton_unique" UNIQUE("singleton"),
	CONSTRAINT "installation_singleton" CHECK ("installation"."singleton")
);
--> statement-breakpoint
CREATE TABLE "nodes" (
	"id" text PRIMARY KEY NOT NULL,
	"url" text NOT NULL,
	"started_at" timestamp (3) with time zone NOT NULL,
	"heartbeat_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sandbox_events" (
	"sequence" bigserial PRIMARY KEY NOT NULL,
	"sandbox_id" text NOT NULL,
	"type" text NOT NULL,
	"at" timestamp (3) with time zone NOT NULL,
	"data" jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "sandboxes" (
	"id" text PRIMARY KEY NOT NULL,
	"owner_id" text NOT NULL,
	"name" text,
	"template" text NOT NULL,
	"image" text,
	"state" text NOT NULL,
	"state_reason" text,
	"runtime" text NOT NULL,
	"cpu" double precision NOT NULL,
	"memory_bytes" bigint NOT NULL,
	"pids" integer NOT NULL,
	"network" text NOT NULL,
	"metadata" jsonb NOT NULL,
	"environment" jsonb NOT NULL,
	"machine_id" text,
	"node_id" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"started_at" timestamp (3) with time zone,
	"ended_at" timestamp (3) with time zone,
	"expires_at" timestamp (3) with time zone,
	"idle_timeout_seconds" integer NOT NULL,
	"last_activity_at" timestamp (3) with time zone NOT NULL,
	"version" integer NOT NULL
);
--> statement-breakpoint
ALTER TABLE "sandbox_events" ADD CONSTRAINT "sandbox_events_sandbox_id_sandboxes_id_fk" FOREIGN KEY ("sandbox_id") REFERENCES "public"."sandboxes"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "api_keys_owner" ON "api_keys" USING btree ("owner_id","created_at");--> statement-breakpoint
CREATE INDEX "sandbox_events_of_sandbox" ON "sandbox_events" USING btree ("sandbox_id","sequence");--> statement-breakpoint
CREATE INDEX "sandboxes_of_owner" ON "sandboxes" USING btree ("owner_id","created_at" desc,"id" desc);--> statement-breakpoint
CREATE UNIQUE INDEX "sandboxes_machine" ON "sandboxes" USING btree ("machine_id");--> statement-breakpoint
CREATE INDEX "sandboxes_live" ON "sandboxes" USING btree ("node_id","state") WHERE "sandboxes"."state" <> 'destroyed';--> statement-breakpoint
CREATE INDEX "sandboxes_expiry" ON "sandboxes" USING btree ("expires_at") WHERE "sandboxes"."state" <> 'destroyed' and "sandboxes"."expires_at" is not null;--> statement-breakpoint
CREATE INDEX "sandboxes_ended" ON "sandboxes" USING btree ("ended_at") WHERE "sandboxes"."state" = 'destroyed';