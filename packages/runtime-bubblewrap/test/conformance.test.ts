import { tmpdir } from "node:os";
import { join } from "node:path";
import { prepareKit } from "@insien/agent/kit";
import { runtimeConformance } from "@insien/runtime/conformance";
import { createBubblewrapRuntime } from "../src/index.ts";

runtimeConformance({
  name: "bubblewrap",
  create: createBubblewrapRuntime,
  kit: () => prepareKit({ directory: join(tmpdir(), "insien-test-kit") }),
  template: { name: "base", image: "ignored" },
});
