/**
 * `--memory`: a program that fits a budget of GPU memory, by computing values of the forward again in the backward.
 *
 * The pass recompute offers a way from nothing to as much as helps (src/passes/recompute/choose.ts); this lowers and packs what lies on it,
 * as the runtime will, and takes the first that fits. So the choice rests on exact bytes: what a session allocates that loads these entries.
 */
import { type LowerOptions, lower, type ScheduleSpec } from "../codegen/lower.js";
import { fail } from "../diagnostics/diagnostic.js";
import type { Fn, Module } from "../ir/graph.js";
import { narrow } from "../passes/narrow.js";
import type { PassOptions } from "../passes/pass.js";
import { type Choice, choices, workOf } from "../passes/recompute/choose.js";
import { bodiesOf, computedAgain, type Recomputation, recompute } from "../passes/recompute/index.js";
import { type MemoryPlan, memoryPlan } from "../program/memory.js";
import { pack } from "../program/pack.js";
import type { Profile } from "../program/program.js";
import { size, whole } from "./text.js";

export interface Fitted {
  /** The entries that are loaded together, and what a session of them takes: as it is now, and with nothing computed again. */
  readonly entries: readonly string[];
  readonly bytes: number;
  readonly bytesWithout: number;
  /** Operations added, as a share of those of the function that computes again. */
  readonly work: number;
  /** What is computed again, as people know it, and how often. */
  readonly values: Readonly<Record<string, number>>;
}

export interface Fit {
  readonly recompute: Readonly<Record<string, Recomputation>>;
  readonly fitted: readonly Fitted[];
}

export interface MemoryBudget {
  /** Of GPU memory, for a session that loads entries which belong together: those of a training step, each other one by itself. */
  readonly bytes: number;
  /** Hold only the entries that train against it. Default: all. */
  readonly training?: boolean;
}

/** These are loaded together: they make one step. */
const TRAINING = ["train_step", "accumulate", "update"];

/** Error: DIT1305, when an entry does not fit whatever is computed again. */
export function fitMemory(
  module: Module,
  schedules: readonly ScheduleSpec[],
  options: LowerOptions,
  profile: Profile,
  budget: MemoryBudget,
  passOptions: PassOptions = {},
): Fit {
  const names = schedules.map((s) => s.name);
  const training = names.filter((name) => TRAINING.includes(name));
  const sessions = [
    ...(training.length > 0 ? [training] : []),
    ...(budget.training ? [] : names.filter((name) => !training.includes(name)).map((name) => [name])),
  ];
  const chosen: Record<string, Recomputation> = {};
  const fitted: Fitted[] = [];
  for (const entries of sessions) {
    const points = new Points(
      module,
      schedules.filter((s) => entries.includes(s.name)),
      options,
      profile,
      passOptions,
    );
    const found = points.firstWithin(budget.bytes) ?? refuse(entries, points, budget.bytes, options.batch);
    if (found.choice === undefined || found.choice.recomputation.values.length === 0) continue;
    // Functions that several entries share are computed alike in all of them.
    chosen[points.fn.name] = found.choice.recomputation;
    fitted.push(points.described(entries, found));
  }
  return { recompute: chosen, fitted };
}

export interface Point {
  readonly choice: Choice | undefined;
  readonly bytes: number;
}

/** The points of the way for the entries of one session, planned as they are asked for. */
export class Points {
  /** The function of these entries that has most to keep. */
  readonly fn: Fn;
  private way: readonly Choice[] | undefined;
  private readonly planned = new Map<Choice | undefined, MemoryPlan>();

  constructor(
    private readonly module: Module,
    private readonly schedules: readonly ScheduleSpec[],
    private readonly options: LowerOptions,
    private readonly profile: Profile,
    /** Of the passes that come after. */
    private readonly passOptions: PassOptions = {},
  ) {
    const names = new Set(schedules.flatMap((s) => s.segments.map((segment) => segment.fn)));
    const fns = module.fns.filter((fn) => names.has(fn.name));
    this.fn = fns.reduce((a, b) => (b.nodes.length > a.nodes.length && b.name !== "update" ? b : a));
  }

  get choices(): readonly Choice[] {
    this.way ??= choices(this.module, this.fn, this.options.batch);
    return this.way;
  }

  /** What a session allocates. */
  bytes(choice: Choice | undefined): number {
    return this.plan(choice).total;
  }

  private plan(choice: Choice | undefined): MemoryPlan {
    const known = this.planned.get(choice);
    if (known !== undefined) return known;
    const module = choice ? recompute.run(this.module, { recompute: { [this.fn.name]: choice.recomputation } }) : this.module;
    const lowered = lower(narrow.run(module, this.passOptions), this.schedules, this.options);
    const plan = memoryPlan(lowered, pack({ ...lowered, profile: this.profile }, this.options.batch));
    this.planned.set(choice, plan);
    return plan;
  }

  /** The first point that fits. What the model of live.ts says to be well above the budget is not planned: a plan takes long. */
  firstWithin(budget: number): Point | undefined {
    const without = this.bytes(undefined);
    if (without <= budget) return { choice: undefined, bytes: without };
    const [first, ...rest] = this.choices;
    // The staging buffer is as large as the largest slab, up to a limit, so it may shrink with the values.
    const around = without - this.plan(undefined).staging - first!.bytes;
    for (const choice of rest) {
      if (choice.bytes + around > budget + SLACK * first!.bytes) continue;
      const bytes = this.bytes(choice);
      if (bytes <= budget) return { choice, bytes };
    }
    // Where plan and model part, the least may fit although it did not seem to.
    const least = this.least();
    return least.bytes <= budget ? least : undefined;
  }

  /** The point that takes least, of those whose values take least. */
  least(): { choice: Choice; bytes: number } {
    const few = this.choices.toSorted((a, b) => a.bytes - b.bytes || a.work - b.work).slice(0, 4);
    const all = few.map((choice) => ({ choice, bytes: this.bytes(choice) }));
    return all.reduce((a, b) => (b.bytes < a.bytes ? b : a));
  }

  described(entries: readonly string[], { choice, bytes }: Point): Fitted {
    const bodies = bodiesOf(this.module);
    const { again } = computedAgain(bodies, this.fn, choice!.recomputation);
    const values: Record<string, number> = {};
    for (const node of again) {
      const names = node.outputs.flatMap((v) => (v.name === undefined ? [] : [v.name]));
      const where = node.loc ? ` @ ${node.loc.file}:${node.loc.line}` : "";
      const text = `${names.join(", ") || String(node.attrs.kind)}${where}`;
      values[text] = (values[text] ?? 0) + 1;
    }
    return { entries, bytes, bytesWithout: this.bytes(undefined), work: this.share(choice!), values };
  }

  /** Added operations as a share of the function's own. */
  share(choice: Choice): number {
    const work = workOf(this.module, this.options.batch);
    const own = this.fn.nodes.reduce((n, node) => n + (node.op === "region" ? work(node) : 0), 0);
    return choice.work / own;
  }
}

/** How far the exact plan may lie above the model's bytes, as a share, for a point to be worth planning. */
const SLACK = 0.02;

function refuse(entries: readonly string[], points: Points, budget: number, batch: number): never {
  const { choice, bytes } = points.least();
  const text = (n: number) => `${size(n)} (${whole(n)} bytes)`;
  return fail(
    "DIT1305",
    `${entries.join(" and ")} at batch ${batch} needs at least ${text(bytes)} of GPU memory, may take ${text(budget)}`,
    {
      notes: [
        `with nothing computed again it needs ${text(points.bytes(undefined))}`,
        choice.recomputation.values.length === 0
          ? "nothing of it could be computed again instead of kept"
          : `the least is with ${choice.recomputation.values.length} values computed again, ${(100 * points.share(choice)).toFixed(1)} % more work`,
      ],
      help: `give --memory ${bytes} or more, or a smaller --batch`,
    },
  );
}
