import { createDockerRuntime } from "@insien/runtime-docker";
import { dockerAnswers } from "./machine/docker-daemon.mjs";
import { say } from "./machine/speech.mjs";

export const BASE_IMAGE = "insien-base";

/** Builds the base image before the first test needs it: quick when it is there, minutes when not. */
export async function prepareBaseImage(): Promise<void> {
  if (!(await dockerAnswers())) return;
  await using runtime = createDockerRuntime({
    ownerId: "baseimage",
    // An image needs no agent; only machines do.
    kit: { directory: "/nonexistent", command: [], environment: {}, hash: "none" },
  });
  let step = "";
  await runtime.prepare(
    { name: "base", image: BASE_IMAGE },
    {
      onProgress: (progress) => {
        if (progress.step === step) return;
        step = progress.step;
        say(`· base image: ${step}`);
      },
    },
  );
}
