// What this machine has and lacks: `npm run doctor -- [--fetch] [--json] [--profile FILE] [--driver KIND]`.
import { parseArgs } from "node:util";
import { fromDist } from "./dist.mjs";

const { values } = parseArgs({
  options: { fetch: { type: "boolean" }, json: { type: "boolean" }, profile: { type: "string" }, driver: { type: "string" } },
});
const { doctor } = await fromDist("runtime/node/doctor.js");
process.exitCode = doctor(values);
