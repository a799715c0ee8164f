import { mustHave, hasPostgres, startServer } from "@insien/test-kit";
import pg from "pg";
import { expect, test } from "vitest";

test.skipIf(!mustHave(await hasPostgres(), "PostgreSQL"))(
  "a server on PostgreSQL has a database of its own, which goes with it",
  async () => {
    const servers = await Promise.all(
      [0, 1].map(() => startServer({ runtime: "bubblewrap", database: "postgresql" })),
    );
    const urls = servers.map(({ databaseUrl }) => databaseUrl ?? "");
    expect(new Set(urls).size).toBe(2);
    const nodes = async (url: string) => {
      const client = new pg.Client({ connectionString: url });
      await client.connect();
      const { rowCount } = await client.query("select from nodes");
      await client.end();
      return rowCount;
    };
    for (const url of urls) expect(await nodes(url)).toBe(1);
    await Promise.all(servers.map((server) => server[Symbol.asyncDispose]()));
    for (const url of urls) await expect(nodes(url)).rejects.toThrow();
  },
);
