import { createDockerRuntime } from "@insien/runtime-docker";
import { dockerAnswers } from "./machine/docker-daemon.mjs";
import { say } from "./machine/speech.mjs";

const BASE_IMAGE = "insien-base";

/**
 * Builds the base image before the first test needs it: quick when it is there, minutes when not.
 * Gives the image's id, `undefined` without Docker.
 */
export async function prepareBaseImage(): Promise<string | undefined> {
  if (!(await dockerAnswers())) return undefined;
  await using runtime = createDockerRuntime({
    ownerId: "baseimage",
    // An image needs no agent; only machines do.
    kit: { directory: "/nonexistent", command: [], environment: {}, hash: "none" },
  });
  let step = "";
  const { fingerprint } = await runtime.prepare(
    { name: "base", image: BASE_IMAGE },
    {
      onProgress: (progress) => {
        if (progress.step === step) return;
        step = progress.step;
        say(`· base image: ${step}`);
      },
    },
  );
  // A fingerprint is the image's id and the kit's hash.
  return fingerprint.split("@")[0];
}
