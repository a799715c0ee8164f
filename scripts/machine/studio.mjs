/** The studio's page, built anew when what it is made from has changed. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { isBuilt } from "../../packages/studio/sources.mjs";
import { say } from "./speech.mjs";

/**
 * The server runs without the page, and says how to build it: a build that fails is told, and no more.
 * @param {string} root
 * @param {string} node
 */
export function buildStudio(root, node) {
  if (isBuilt()) return;
  say("· building the studio");
  const script = join(root, "packages/studio/build.mjs");
  const { status, stderr } = spawnSync(node, [script], { encoding: "utf8" });
  if (status !== 0) say(`  it could not be built; the server runs without it:\n${stderr.trim()}`);
}
