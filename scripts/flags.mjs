// Flags of the scripts. What they are the comment at the head of each script says, which --help prints.
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";

/** As `parseArgs`, but that a mistake is one line, and exit code 1. */
export function flags({ options = {}, ...config }) {
  try {
    const { values, ...rest } = parseArgs({ ...config, options: { ...options, help: { type: "boolean", short: "h" } } });
    if (!values.help) return { values, ...rest };
  } catch (error) {
    // What follows the first sentence is about words that begin with a dash.
    console.error(`error: ${error.message.split(". To specify")[0]}\n  help: --help says what there is`);
    process.exit(1);
  }
  const lines = readFileSync(process.argv[1], "utf8").split("\n");
  const end = lines.findIndex((line) => !line.startsWith("//"));
  const head = lines.slice(0, end).map((line) => line.replace(/^\/\/ ?/, ""));
  console.log(head.join("\n"));
  process.exit(0);
}
