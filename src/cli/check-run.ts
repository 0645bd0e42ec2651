/** `--check sampled`, for the commands that run a program: a run that is checked as it goes, and said how it went. */
import type { Check } from "../check/index.js";
import type { Bundle } from "../program/program.js";
import type { Io } from "./io.js";
import { progress } from "./progress.js";

export interface CheckedRun extends Check {
  /** Says what was found. Error: DIT7021 (a number is wrong). */
  end(): void;
}

export async function checkRun(bundle: Bundle, io: Io): Promise<CheckedRun> {
  const { check, refuseWrong, summary } = await import("../check/index.js");
  const meter = progress("checking", { print: (line) => io.err(`${line}\n`) });
  const checking = check(bundle, { onDispatch: (done, total) => meter.update(done, total) });
  return {
    ...checking,
    end() {
      meter.end();
      io.err(`${summary(checking.checked())}\n`);
      refuseWrong(checking.checked());
    },
  };
}
