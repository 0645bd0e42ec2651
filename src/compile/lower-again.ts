/** A bundle's kernels made again from its kernels.ir (lowering-text.ts), with other choices and without the model file. */
import { type LoweredProgram, type LowerOptions, lower } from "../codegen/lower.js";
import { fail } from "../diagnostics/diagnostic.js";
import type { Module } from "../ir/graph.js";
import { parseModule } from "../ir/parse.js";
import type { Bundle, Constant, Entry, Parameter, Program, Storage } from "../program/program.js";
import { HEAD, type Made } from "./lowering-text.js";
import { loweringLimits } from "./target.js";

/** The kernels of one entry, to be made again and again. */
export interface Remaker {
  readonly entry: Entry;
  /** The bundle with this entry alone; its dispatches are those of the entry, in the same order. */
  make(how: Pick<LowerOptions, "choices" | "tuning">): Bundle;
}

/**
 * Errors: DIT7020 (no such entry), DIT1306 (the bundle has no IR, or it does not make the bundle's own kernels: another version wrote it).
 */
export function remakerOf(bundle: Bundle, name: string, batch: number): Remaker {
  const { program, ir } = bundle;
  const entry = program.entries.find((candidate) => candidate.name === name);
  if (!entry) return noEntry(program, name);
  const { module, schedules, ...made } = parsed(irOf(ir));
  const { safe } = made;
  // What was chosen for a whole family would go before any choice for single dispatches.
  const { matmul: _, ...choices } = made.choices;
  const schedule = schedules.filter((candidate) => candidate.name === name);
  const make: Remaker["make"] = (how) => {
    const lowered = lower(module, schedule, {
      batch,
      safe,
      ...loweringLimits(program.profile),
      ...how,
      choices: { ...choices, ...how.choices },
    });
    const { storages, kernels, entries, wgsl, persistent } = lowered;
    const stored = <T extends Parameter | Constant>(kind: string, all: readonly T[]): T[] =>
      all.flatMap((one) => {
        const storage = persistent.get(`${kind}:${one.name}`);
        return storage === undefined ? [] : [{ ...one, storage }];
      });
    const parameters = stored("parameter", program.parameters);
    const constants = [
      ...stored("constant", program.constants),
      ...program.constants.filter(({ storage }) => storage === undefined),
    ];
    const remade: Program = { ...program, batch, storages, kernels, entries, parameters, constants };
    return { program: remade, wgsl, constants: bundle.constants };
  };
  // The same choices make the same dispatches.
  const works = (e: Entry | undefined): string =>
    JSON.stringify(e?.segments.map((s) => s.dispatches.map(({ choiceKey, work }) => [choiceKey, work])));
  const again = lower(module, schedule, { ...asMade(made), batch: program.batch, ...loweringLimits(program.profile) });
  if (schedule.length === 0 || works(again.entries[0]) !== works(entry)) return otherVersion();
  return { entry, make };
}

/**
 * What each dispatch computes, by entry, by the storages of the bundle. Error: DIT1306 (the bundle has no IR, or it does not make this
 * bundle).
 */
export function computationsOf({ program, ir }: Bundle): LoweredProgram["computations"] {
  const { schedules, module, ...made } = parsed(irOf(ir));
  const lowered = lower(module, schedules, { ...asMade(made), batch: program.batch, ...loweringLimits(program.profile) });
  const plan = (entries: readonly Entry[]) =>
    entries.map((e) => e.segments.map((s) => s.dispatches.map(({ bindings, work }) => [bindings, work])));
  // Text gives values names of its own.
  const places = (storages: readonly Storage[]) => storages.map(({ name: _, ...place }) => place);
  const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b);
  const right = same(places(lowered.storages), places(program.storages)) && same(plan(lowered.entries), plan(program.entries));
  return right ? lowered.computations : otherVersion();
}

const asMade = ({ safe, choices, tuning }: Omit<Made, "schedules">) => ({ safe, choices, tuning: new Map(tuning) });

const noEntry = ({ entries }: Program, name: string): never =>
  fail("DIT7020", `the bundle has no entry "${name}"`, { help: `its entries are ${entries.map((e) => e.name).join(", ")}` });

const irOf = (ir: string | undefined): string =>
  ir ??
  fail("DIT1306", "the bundle has no kernels.ir, of which its kernels could be made again", {
    help: "compile the model again, and keep the file",
  });

const otherVersion = (): never =>
  fail("DIT1306", "kernels.ir does not make the kernels that the bundle has: another version of dit-compile wrote it", {
    help: "compile the model again",
  });

/** Both halves of the text. Errors: DIT1306 (no such first line), those of the parser. */
function parsed(ir: string): Made & { readonly module: Module } {
  const end = ir.indexOf("\n");
  try {
    if (!ir.startsWith(HEAD)) throw new SyntaxError("its first line does not say how they were made");
    const made = JSON.parse(ir.slice(HEAD.length, end)) as Made;
    return { ...made, module: parseModule(ir.slice(end + 1), "kernels.ir") };
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return fail("DIT1306", "kernels.ir is damaged", { notes: [error.message], help: "compile the model again" });
  }
}
