// What this machine has and lacks, from a checkout: `npm run doctor -- [--fetch] [--json] [--profile FILE] [--driver KIND]`.
import { fromDist } from "./dist.mjs";

const { cli } = await fromDist("cli/cli.js");
process.exitCode = await cli(["doctor", ...process.argv.slice(2)]);
