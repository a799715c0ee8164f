DROP INDEX "sandboxes_ended";--> statement-breakpoint
CREATE INDEX "sandboxes_ended" ON "sandboxes" USING btree ("ended_at") WHERE "sandboxes"."state" in ('destroyed', 'failed');