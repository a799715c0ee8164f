ALTER TABLE "api_keys" DROP CONSTRAINT "api_keys_hash_unique";--> statement-breakpoint
CREATE INDEX "api_keys_hash" ON "api_keys" USING btree ("hash");--> statement-breakpoint
-- The one key for all nodes: each node now writes a row of its own at its start.
DELETE FROM "api_keys" WHERE "id" = 'bootstrap';
