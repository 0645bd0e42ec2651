/** What a person wants to know about a compiled program: sizes, work, kernels, and the exact memory it will take. */
import { SECOND_STAGE } from "../codegen/labels.js";
import type { ScheduleSpec } from "../codegen/lower.js";
import { costOf } from "../ir/cost.js";
import type { Module } from "../ir/graph.js";
import { pack, peak } from "../program/pack.js";
import type { Entry, Program, StorageKind } from "../program/program.js";
import { evaluate, product } from "../program/size.js";
import type { Fitted } from "./fit-memory.js";

export interface EntryReport {
  readonly name: string;
  /** Dispatches of one run, repetitions included, and of one pass through its segments. */
  readonly dispatches: number;
  readonly distinctDispatches: number;
  readonly kernels: number;
  /** Dispatches that only end sums which other kernels began, by their labels. */
  readonly secondStages: Readonly<Record<string, number>>;
  /** Multiply-adds of one run. */
  readonly macs: number;
  /** Bytes by kind of what a session needs that loads this entry alone, at the report's batch. */
  readonly peakBytes: Readonly<Partial<Record<StorageKind, number>>>;
  readonly peakTotal: number;
}

export interface Report {
  readonly parameters: number;
  readonly trainable: number;
  /** Multiply-adds of one forward pass of one sample in 10⁹, counted as the paper counts. */
  readonly gflops?: number;
  /** The same counted in the graph: the multiply-adds of its matrix products. Only where the entry forward is compiled. */
  readonly gmacs?: number;
  readonly batch: number;
  /** Nodes per function after each pass. */
  readonly ops: readonly { readonly pass: string; readonly nodes: Readonly<Record<string, number>> }[];
  readonly kernels: number;
  readonly entries: readonly EntryReport[];
  readonly peakBytes: Readonly<Partial<Record<StorageKind, number>>>;
  readonly peakTotal: number;
  /** What was done to fit a budget; absent when nothing had to be. */
  readonly fitted?: readonly Fitted[];
}

export function report(
  program: Program,
  stages: readonly { readonly pass: string; readonly module: Module }[],
  schedules: readonly ScheduleSpec[],
  { gflops, fitted }: { readonly gflops: number | undefined; readonly fitted: readonly Fitted[] },
): Report {
  const { batch } = program;
  const count = (all: boolean) =>
    program.parameters.filter((p) => all || p.trainable).reduce((n, p) => n + (product(p.shape) as number), 0);
  // Before fusion every multiply-add still stands in an op of its own.
  const graph = stages.findLast((s) => s.module.stage === "graph")!.module;
  const entries = program.entries.map((entry, i): EntryReport => {
    const bytes = peak(pack(program, batch, { entries: [entry.name] }));
    const segments = schedules[i]!.segments;
    return {
      name: entry.name,
      dispatches: entry.segments.reduce((n, s) => n + s.repeat * s.dispatches.length, 0),
      distinctDispatches: entry.segments.reduce((n, s) => n + s.dispatches.length, 0),
      kernels: new Set(entry.segments.flatMap((s) => s.dispatches.map((d) => d.kernel))).size,
      secondStages: secondStages(entry),
      macs: segments.reduce(
        (n, s) => n + s.repeat * evaluate(costOf(graph, graph.fns.find((f) => f.name === s.fn)!).macs, batch),
        0,
      ),
      peakBytes: bytes.byKind,
      peakTotal: bytes.total,
    };
  });
  const bytes = peak(pack(program, batch));
  const forward = entries.find(({ name }) => name === "forward");
  return {
    parameters: count(true),
    trainable: count(false),
    ...(gflops === undefined ? {} : { gflops }),
    ...(forward ? { gmacs: forward.macs / batch / 1e9 } : {}),
    batch,
    ops: stages.map(({ pass, module }) => ({
      pass,
      nodes: Object.fromEntries(module.fns.filter((f) => !f.name.startsWith("region")).map((f) => [f.name, f.nodes.length])),
    })),
    kernels: program.kernels.length,
    entries,
    peakBytes: bytes.byKind,
    peakTotal: bytes.total,
    ...(fitted.length === 0 ? {} : { fitted }),
  };
}

function secondStages(entry: Entry): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { label } of entry.segments.flatMap((s) => s.dispatches)) {
    if (label.startsWith(SECOND_STAGE)) counts[label] = (counts[label] ?? 0) + 1;
  }
  return counts;
}
