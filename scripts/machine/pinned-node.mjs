/** Node 24: the machine's own where it is new enough, else the one that came from npm. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { SetupError } from "./speech.mjs";

export const NODE_MAJOR_MIN = 24;

/**
 * @param {string} root
 * @returns {string} The path of a Node binary.
 */
export function pinnedNode(root) {
  if (Number(process.versions.node.split(".")[0]) >= NODE_MAJOR_MIN) return process.execPath;
  const binary = join(root, `node_modules/node-linux-${process.arch}/bin/node`);
  if (process.platform === "linux" && existsSync(binary)) return binary;
  throw new SetupError(
    `Node ${NODE_MAJOR_MIN} or newer is needed on ${process.platform} ${process.arch}; ` +
      `this is ${process.version}. Install it from https://nodejs.org and try again.`,
  );
}
