// Checks an AsyncAPI document: its structure, its references, and its examples against their schemas.

import { readFile } from "node:fs/promises";
import { DiagnosticSeverity, Parser } from "@asyncapi/parser";

// A newer version of AsyncAPI is no fault of a document.
const IRRELEVANT = ["asyncapi-latest-version"];

const { document, diagnostics } = await new Parser().parse(await readFile(process.argv[2], "utf8"));
const faults = diagnostics.filter(({ code }) => !IRRELEVANT.includes(code));
for (const { severity, code, message, path } of faults) {
  console.error(`${DiagnosticSeverity[severity]}: ${path.join(".")}: ${message} (${code})`);
}
if (!document || faults.length > 0) process.exit(1);

const count = (things, what) => `${things.length} ${what}`;
console.log(
  `AsyncAPI ${document.version()}: no fault in ${count(document.channels().all(), "channels")}, ` +
    `${count(document.operations().all(), "operations")}, ${count(document.components().messages().all(), "messages")}`,
);
