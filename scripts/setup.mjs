// Fetches the software drivers and Chromium that tests use on a machine without them: `node scripts/setup.mjs [lavapipe|swiftshader|chromium …]`.
import { fromDist } from "./dist.mjs";

const { fetches, fetchMissing } = await fromDist("runtime/node/fetch.js");
const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !(name in fetches));
if (unknown.length > 0) {
  console.error(`unknown: ${unknown.join(", ")}; there is ${Object.keys(fetches).join(", ")}`);
  process.exit(2);
}
const failures = fetchMissing(asked.length > 0 ? asked : Object.keys(fetches));
for (const failure of failures) console.error(failure);
process.exit(failures.length > 0 ? 1 : 0);
