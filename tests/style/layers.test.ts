import { describe, expect, test } from "vitest";
import { folderViolations, importsOf, packageViolations, parseLayerTable } from "./import-graph.ts";
import { isShipped, repositoryFiles } from "./repository.ts";

const architecture = textOf("ARCHITECTURE.md");
const shipped = repositoryFiles().filter(({ path }) => isShipped(path));
const ORCHESTRATOR = "packages/orchestrator/src";

function textOf(path: string): string {
  return repositoryFiles().find((file) => file.path === path)?.text ?? "";
}

const manifests = repositoryFiles()
  .filter(({ path }) => /^packages\/[^/]+\/package\.json$/.test(path))
  .map(({ path, text }) => ({
    folder: path.split("/")[1] ?? "",
    ...(JSON.parse(text) as { name: string; dependencies?: Record<string, string> }),
  }));
const packages = new Map(manifests.map(({ name, folder }) => [name, folder]));
const table = parseLayerTable(architecture, "Packages");
const folders = parseLayerTable(architecture, "Inside the orchestrator");

const machineMakers = [...packages.values()].filter((name) => name.startsWith("runtime-"));
const exceptions = new Map([
  // Concrete runtimes and the agent's kit are named in one place.
  [`${ORCHESTRATOR}/main.ts`, new Set([...machineMakers, "agent"])],
  // What lays the kit out runs on the host, and gives a runtime what it asks for.
  ["packages/agent/src/kit", new Set(["runtime"])],
]);

describe("the import tables of ARCHITECTURE.md", () => {
  test("have a row for every package and every folder of the orchestrator", () => {
    const missing = [...packages.values()].filter(
      (folder) => !table.has(folder) && !table.has(folder.replace(/-.*$/, "-*")),
    );
    expect(missing).toEqual([]);
    expect(table.size).toBeGreaterThan(5);
    expect(folders.size).toBeGreaterThan(3);
  });

  test("hold between packages", () => {
    expect(packageViolations(shipped, { packages, table, exceptions })).toEqual([]);
  });

  test("hold between the folders of the orchestrator", () => {
    expect(folderViolations(shipped, ORCHESTRATOR, folders)).toEqual([]);
  });
});

describe("the layer check itself", () => {
  const rules = {
    packages: new Map([
      ["@insien/protocol", "protocol"],
      ["@insien/agent", "agent"],
    ]),
    table: new Map([
      ["protocol", new Set<string>()],
      ["agent", new Set(["protocol"])],
    ]),
    exceptions: new Map<string, ReadonlySet<string>>(),
  };

  test("reads every form of import", () => {
    const text = `import "a";\nimport b from "b";\nexport * from 'c';\nconst d = await import("d");`;
    expect(importsOf(text)).toEqual(["a", "b", "c", "d"]);
  });

  test("sees a forbidden package, by name and by path", () => {
    const path = "packages/protocol/src/ids.ts";
    const byName = { path, text: `import { x } from "@insien/agent/kit";` };
    const byPath = { path, text: `import { x } from "../../agent/src/kit.ts";` };
    const allowed = {
      path: "packages/agent/src/main.ts",
      text: `import { x } from "@insien/protocol";`,
    };
    expect(packageViolations([byName], rules)).toHaveLength(1);
    expect(packageViolations([byPath], rules)).toHaveLength(1);
    expect(packageViolations([allowed], rules)).toEqual([]);
  });

  test("sees a package that has no row", () => {
    const file = { path: "packages/attic/src/a.ts", text: "" };
    expect(packageViolations([file], rules)).toHaveLength(1);
  });

  test("sees a forbidden folder", () => {
    const upward = { path: "s/db/rows.ts", text: `import type { A } from "../app/a.ts";` };
    const downward = { path: "s/app/a.ts", text: `import type { B } from "../db/rows.ts";` };
    const layers = new Map([
      ["app", new Set(["db"])],
      ["db", new Set<string>()],
    ]);
    expect(folderViolations([upward], "s", layers)).toHaveLength(1);
    expect(folderViolations([downward], "s", layers)).toEqual([]);
  });

  test("reads a table as people write it", () => {
    const document = "# T\n\n| who | may import |\n|---|---|\n| `a` | `b`, `c` |\n| `b` | – |\n";
    expect(parseLayerTable(document, "T")).toEqual(
      new Map([
        ["a", new Set(["b", "c"])],
        ["b", new Set()],
      ]),
    );
  });
});
