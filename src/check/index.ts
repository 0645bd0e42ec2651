/** Runs held against the reference, for commands. */
import { computationsOf } from "../compile/lower-again.js";
import { fail } from "../diagnostics/diagnostic.js";
import type { Bundle } from "../program/program.js";
import { collect } from "../runtime/node/heap.js";
import type { Session, Through } from "../runtime/session.js";
import { type Checked, Checker, type CheckOptions, type Deviation } from "./check.js";

export type { Checked, CheckOptions } from "./check.js";

/** A check of a whole command, which may run several entries, on one session after the other. */
export interface Check {
  /** Runs an entry and checks it. */
  readonly through: Through;
  checked(): Checked;
}

/** Error: DIT1306 (the bundle lacks what its kernels were made of). */
export function check(bundle: Bundle, options: CheckOptions = {}): Check {
  const computations = computationsOf(bundle);
  // Making the program again takes memory, which is given back before there is a session.
  collect();
  const checkers = new Map<Session, Checker>();
  return {
    async through(session, entry, inputs) {
      const checker = checkers.get(session) ?? new Checker(session, bundle, computations, options);
      checkers.set(session, checker);
      await checker.run(entry, inputs);
    },
    checked: () => [...checkers.values()].map((checker) => checker.checked).reduce(together, nothing),
  };
}

const nothing: Checked = { dispatches: 0, outputs: 0, zeros: 0, worst: undefined, wrong: [] };

const together = (a: Checked, b: Checked): Checked => ({
  dispatches: a.dispatches + b.dispatches,
  outputs: a.outputs + b.outputs,
  zeros: a.zeros + b.zeros,
  worst: (a.worst?.share ?? -1) >= (b.worst?.share ?? -1) ? a.worst : b.worst,
  wrong: [...a.wrong, ...b.wrong],
});

const number = (n: number): string => n.toLocaleString("en-US");

/** For people. */
export function summary({ dispatches, outputs, zeros, worst }: Checked): string {
  const farthest = worst ? `; the farthest is off by ${worst.share.toFixed(2)} of what is allowed: ${described(worst)}` : "";
  return `checked ${number(outputs)} outputs of ${number(dispatches)} dispatches in f64 (${number(zeros)} of them are 0)${farthest}`;
}

function described({ label, dispatch, entry, round, kernel, variant, place, found, expected, allowed }: Deviation): string {
  const at = place.length === 0 ? "" : `[${place.join(", ")}]`;
  const where = `"${label}"${at}, dispatch ${dispatch} of ${entry}${round > 0 ? `, round ${round}` : ""}, kernel ${kernel} as ${variant}`;
  return `${where}: found ${found}, expected ${expected} ± ${allowed.toPrecision(2)}`;
}

/** Error: DIT7021 (a number is wrong). */
export function refuseWrong({ wrong, dispatches }: Checked): void {
  if (wrong.length === 0) return;
  fail("DIT7021", `${wrong.length} results of ${dispatches} dispatches hold numbers that are not what their operands make`, {
    notes: [...wrong.slice(0, 5).map(described), ...(wrong.length > 5 ? [`and ${wrong.length - 5} more`] : [])],
    help: "compile with --safe to tell a driver's error from one of a kernel's form, and report what you find",
  });
}
