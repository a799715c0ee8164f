import { Sandbox } from "@insien/sandbox";
import { withConnection } from "../session/session.ts";

/** A sandbox as the SDK has it, for calls that need no open connection into its machine. */
export const withSandbox = <Value>(
  id: string,
  work: (sandbox: Sandbox) => Promise<Value>,
): Promise<Value> =>
  withConnection(async (options) => {
    const sandbox = await Sandbox.connect(id, options);
    sandbox.disconnect();
    return work(sandbox);
  });
