import type { CreateRequest } from "../src/app/create-request.ts";

export function newCreateRequest(over: Partial<CreateRequest> = {}): CreateRequest {
  return {
    id: undefined,
    ownerId: "owner",
    name: undefined,
    template: undefined,
    image: undefined,
    environment: {},
    metadata: {},
    limits: { cpu: 1, memoryBytes: 2 ** 29, pids: 100 },
    network: "none",
    readOnly: false,
    gpu: undefined,
    entrypoint: undefined,
    command: undefined,
    maxRetries: 0,
    volumes: {},
    ports: [],
    build: undefined,
    ttlSeconds: 0,
    idleTimeoutSeconds: 0,
    ...over,
  };
}
