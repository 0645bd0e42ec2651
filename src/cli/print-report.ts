/** A compile report as the text that the command prints. */
import type { Report } from "../compile/report.js";
import { count, size, table, whole } from "../compile/text.js";
import type { Program, StorageKind } from "../program/program.js";

const kinds: readonly StorageKind[] = [
  ...([
    "parameter",
    "moment1",
    "moment2",
    "ema",
    "accumulator",
    "gradient",
    "state",
    "constant",
    "input",
    "output",
    "activation",
  ] as const),
];

/** What a training run computes, in 10⁹ multiply-adds: a backward pass counts as two forward passes, as in the paper. */
export interface TrainingCompute {
  /** The global one: what lies on the device at a time, times how often a step accumulates. */
  readonly batch: number;
  readonly steps: number;
  /** Of one forward pass of one sample, as it is printed. */
  readonly each: string;
  readonly gflops: number;
}

/** Of the number of Gflops that is printed, so that what stands in a report or a paper can be worked out from it. Without any: undefined. */
export function trainingCompute({ gflops, gmacs, batch: atATime }: Report, program: Program, steps: number) {
  const { accumulate } = program.model.config;
  const batch = atATime * (typeof accumulate === "number" ? accumulate : 1);
  const counted = gflops ?? gmacs;
  if (counted === undefined) return undefined;
  const each = printed(counted);
  return { batch, steps, each, gflops: Number(each) * batch * steps * 3 } satisfies TrainingCompute;
}

export function printReport(report: Report, program: Program, training?: TrainingCompute): string {
  const { model, profile, hash } = program;
  return [
    `${model.name}${model.preset ? ` ${model.preset}` : ""}`,
    "",
    table(
      [
        ["program", hash],
        ["target", profile.name],
        ["batch", whole(report.batch)],
        ["parameters", `${whole(report.parameters)} (${whole(report.trainable)} of them trained)`],
        ...gflopsRows(report),
        ...(training
          ? [
              [
                "training",
                `${training.gflops.toExponential(2)} Gflops (${training.each} × ${whole(training.batch)} × ${whole(training.steps)} steps × 3)`,
              ],
            ]
          : []),
        ["kernels", whole(report.kernels)],
      ],
      [],
    ),
    "",
    opsTable(report),
    "",
    entryTable(report),
    "",
    ...secondStages(report),
    memoryTable(report),
    ...fittedTables(report),
    "",
  ].join("\n");
}

/** As the paper counts where the model says how, and what the graph has. */
function gflopsRows({ gflops, gmacs }: Report): string[][] {
  const what = "10⁹ multiply-adds of one forward pass of one sample";
  const exact = gmacs === undefined ? undefined : String(Number(gmacs.toFixed(9)));
  if (gflops === undefined) return exact === undefined ? [] : [["Gflops", `${exact} (${what})`]];
  return [
    ["Gflops", `${printed(gflops)} (${what}, as the paper counts${exact === undefined ? "" : `; ${exact} in matrix products`})`],
  ];
}

/** As the paper prints them; small models keep three digits. */
const printed = (n: number): string => (n >= 0.1 ? n.toFixed(2) : n.toPrecision(3));

function opsTable({ ops }: Report): string {
  const fns = [...new Set(ops.flatMap(({ nodes }) => Object.keys(nodes)))];
  const rows = ops.map(({ pass, nodes }) => [pass, ...fns.map((fn) => (nodes[fn] === undefined ? "" : whole(nodes[fn])))]);
  return table(
    [["ops after", ...fns], ...rows],
    fns.map((_, i) => i + 1),
  );
}

function entryTable({ entries }: Report): string {
  const rows = entries.map((entry) => [
    entry.name,
    whole(entry.dispatches),
    entry.distinctDispatches === entry.dispatches ? "" : `(${whole(entry.distinctDispatches)} different)`,
    whole(entry.kernels),
    count(entry.macs),
  ]);
  return table([["entry", "dispatches", "", "kernels", "multiply-adds"], ...rows], [1, 3, 4]);
}

/** Dispatches that only end sums; they cost a launch and little else. */
function secondStages({ entries }: Report): string[] {
  const rows = entries.flatMap(({ name, secondStages: stages }) =>
    Object.entries(stages).map(([label, n], i) => [i === 0 ? name : "", whole(n), label]),
  );
  return rows.length === 0 ? [] : [table([["second stages", "", ""], ...rows], [1]), ""];
}

/** Exact: what a session allocates for its slabs when it loads the entry alone, and when it loads them all. */
function memoryTable({ entries, peakBytes, peakTotal }: Report): string {
  const columns = [
    ...entries.map(({ name, peakBytes: byKind, peakTotal: total }) => ({ name, byKind, total })),
    ...(entries.length > 1 ? [{ name: "all entries", byKind: peakBytes, total: peakTotal }] : []),
  ];
  const rows = columns.flatMap(({ name, byKind, total }) => [
    [name, "", size(total), `${whole(total)} bytes`],
    ...kinds.flatMap((kind) => (byKind[kind] ? [["", kind, size(byKind[kind]), whole(byKind[kind])]] : [])),
  ]);
  return table([["peak memory", "kind", "", "bytes"], ...rows], [2]);
}

/** What is computed again instead of kept, for a budget. */
function fittedTables({ fitted = [] }: Report): string[] {
  return fitted.flatMap(({ entries, bytes, bytesWithout, work, values }) => [
    "",
    `${entries.join(" and ")} fitted to a budget: ${size(bytes)} (${whole(bytes)} bytes) with uniforms and staging, ${size(bytesWithout)} without; ` +
      `${(100 * work).toFixed(2)} % more operations`,
    table([["computed again", "times"], ...Object.entries(values).map(([what, times]) => [what, whole(times)])], [1]),
  ]);
}
