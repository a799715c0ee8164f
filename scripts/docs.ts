/** `npm run docs`: writes the documents that follow from tables in the code. */
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { generatedDocuments } from "./generated-documents.ts";

const root = dirname(import.meta.dirname);
for (const [path, text] of Object.entries(generatedDocuments())) {
  writeFileSync(join(root, path), text);
}
