/** Which checkpoint a run goes on from, and whether it may: what is damaged or changed is said, and never passed over in silence. */
import { existsSync } from "node:fs";
import { DitError, fail } from "../diagnostics/diagnostic.js";
import {
  type CheckpointFacts,
  changes,
  isDamage,
  listCheckpoints,
  loadCheckpoint,
  type RunFacts,
  readFacts,
} from "./checkpoint.js";
import type { Trainer } from "./trainer.js";

export interface ResumeOptions {
  /** Folder of checkpoints. */
  readonly folder: string;
  /** "last": the newest, which must be whole; "last-good": the newest whole one; or a file. */
  readonly which: string;
  /** Go on although settings, program or driver differ. */
  readonly allowChange: boolean;
  readonly steps: number;
  readonly warn: (line: string) => void;
}

/** Finds and loads it. Errors: DIT4233 (there is none), DIT4234 (something changed), DIT4235 (nothing left to do), and those of loadCheckpoint. */
export async function resume(options: ResumeOptions, trainer: Trainer, now: RunFacts): Promise<CheckpointFacts> {
  const { warn, which } = options;
  for (const path of candidates(options)) {
    try {
      const facts = await readFacts(path);
      check(path, facts, options, now);
      await loadCheckpoint(path, trainer);
      warn(`resumed from ${path}: step ${facts.steps}, ${facts.samples} images seen`);
      return facts;
    } catch (error) {
      if (!isDamage(error)) throw error;
      if (which === "last-good") warn(`${(error as Error).message.split("\n")[0]}; trying the one before it`);
      else if (which === "last") throw pointedOn(error as DitError);
      else throw error;
    }
  }
  return fail("DIT4233", `no checkpoint in ${options.folder} is whole`, {
    help: "begin again in another folder, with --weights if you have them",
  });
}

function candidates({ folder, which }: ResumeOptions): string[] {
  if (which !== "last" && which !== "last-good") {
    if (existsSync(which)) return [which];
    fail("DIT4233", `there is no checkpoint ${which}`, { help: "give last, last-good, or the path of a file" });
  }
  const all = listCheckpoints(folder).map(({ path }) => path);
  if (all.length > 0) return which === "last" ? all.slice(0, 1) : all;
  return fail("DIT4233", `there is no checkpoint in ${folder}`, {
    notes: ["the run ended before its first one was written"],
    help: "begin again: choose another --output, or remove the folder",
  });
}

/** The same error, with the way on. */
const pointedOn = ({ diagnostics }: DitError): DitError =>
  new DitError(diagnostics.map((d) => ({ ...d, help: "--resume last-good goes on from the newest checkpoint that is whole" })));

function check(path: string, facts: CheckpointFacts, options: ResumeOptions, now: RunFacts): void {
  const differences = changes(facts, now);
  if (differences.length > 0 && !options.allowChange) {
    fail("DIT4234", `the run of ${path} would go on under other conditions, and with other bits`, {
      notes: differences.length > 5 ? [...differences.slice(0, 4), `… and ${differences.length - 4} more`] : differences,
      help: "give the flags and the driver that it began with, or --allow-change to go on all the same",
    });
  }
  for (const difference of differences) options.warn(`changed: ${difference}`);
  if (facts.steps >= options.steps) {
    fail("DIT4235", `${path} has done ${facts.steps} steps, and ${options.steps} are wanted`, {
      help: `give more --steps, like --steps ${2 * facts.steps}`,
    });
  }
}
