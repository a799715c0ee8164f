/**
 * A process that opens an embedded database and inserts sandboxes until it is killed: it prints the
 * database's pid, then the id of each sandbox once it is acknowledged.
 */
import { openDatabase } from "../src/db/index.ts";
import { newSandboxRow } from "./sandbox-row.fixture.ts";

const [, , dataDirectory = ""] = process.argv;
const database = await openDatabase({ dataDirectory });
process.stdout.write(`pid ${database.serverPid}\n`);
for (;;) {
  const { id } = await database.sandboxes.insert(newSandboxRow(), { type: "created" });
  process.stdout.write(`${id}\n`);
}
