export { createDockerRuntime, type DockerRuntimeOptions } from "./docker-runtime.ts";
export { BASE_IMAGE } from "./image-builder.ts";
