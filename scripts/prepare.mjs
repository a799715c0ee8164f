/**
 * Gets what is missing and prints the path of the Node binary to go on with. Plain JavaScript for
 * Node 20, since it runs before anything is installed.
 *
 *     node scripts/prepare.mjs run     to run Insien
 *     node scripts/prepare.mjs build   npm packages alone: unit and style tests
 *     node scripts/prepare.mjs test    to run all tests
 */
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { installMissing } from "./machine/apt.mjs";
import { packagesToRun, packagesToTest } from "./machine/debian-packages.mjs";
import { dockerAnswers } from "./machine/docker-daemon.mjs";
import { installNpmPackages } from "./machine/npm-packages.mjs";
import { pinnedNode } from "./machine/pinned-node.mjs";
import { runScript, SetupError } from "./machine/speech.mjs";
import { buildStudio } from "./machine/studio.mjs";

const NODE_MAJOR_TO_PREPARE = 20;

await runScript(async () => {
  const root = dirname(dirname(fileURLToPath(import.meta.url)));
  const purpose = process.argv[2];
  if (Number(process.versions.node.split(".")[0]) < NODE_MAJOR_TO_PREPARE) {
    throw new SetupError(
      `Node ${NODE_MAJOR_TO_PREPARE} or newer is needed to start; this is ${process.version}.`,
    );
  }
  if (purpose === "run") installMissing(packagesToRun(await dockerAnswers()));
  if (purpose === "test") installMissing(packagesToTest());
  installNpmPackages(root);
  const node = pinnedNode(root);
  if (purpose !== "build") buildStudio(root, node);
  process.stdout.write(node);
});
