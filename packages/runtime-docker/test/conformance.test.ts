import { runtimeConformance } from "@insien/runtime/conformance";
import { createDockerRuntime } from "../src/index.ts";
import { dockerAnswers, kit, leftovers } from "./docker-host.ts";

if (dockerAnswers) {
  runtimeConformance({
    name: "docker",
    create: (construction) => createDockerRuntime(construction),
    kit,
    template: { name: "debian", image: "debian:bookworm-slim" },
    leftovers,
  });
}
