import { LIMITS } from "@insien/protocol";
import type Docker from "dockerode";

/**
 * Starts a helper container and gives its exit code. Its end is asked for only once it was started: a
 * question for the next exit, sent beside the start, may arrive after the exit and wait for ever.
 */
export async function runHelper(helper: Docker.Container): Promise<number> {
  await helper.start();
  const abortSignal = AbortSignal.timeout(LIMITS.bootMs.value);
  const { StatusCode } = (await helper.wait({ condition: "not-running", abortSignal })) as {
    StatusCode: number;
  };
  return StatusCode;
}
