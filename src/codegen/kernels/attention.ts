/**
 * attention and its two gradients: workgroups that have rows of their own (queries, or keys) and go along the others block by block, as
 * products of matrices do (attention-workgroup.ts), or, where a subgroup is a CPU's vector, lanes that hand round what they load. Scores are
 * never in storage.
 */
import { literal } from "../../ir/ops/literal.js";
import { evaluate } from "../../program/size.js";
import { type Choice, type Family, fnText, kernelText, type LoweredVariant } from "../kernel.js";
import type { Region } from "../region.js";
import { forms, numberHooks, type Plan, planOf } from "./attention-plan.js";
import { quad } from "./attention-quad.js";
import { workgroup } from "./attention-workgroup.js";

/** Threads of a workgroup of the naive form. */
const THREADS = 64;

/** Widths of subgroups that are the vector of a CPU; a GPU's are wider, or of several widths. */
const CPU_WIDTHS = [4, 8, 16];
/** Most columns of a row in one lane, and most numbers of an operand's own rows. */
const MOST_COLUMNS_OF_LANE = 32;
const MOST_NUMBERS_OF_LANE = 320;

/**
 * Rows of its own that a subgroup has, a multiple of its width: of `there` rows at the compile batch, with so many columns a lane. More would
 * load less for each, and be longer text, which takes time to compile and, once it is longer than caches of instructions, to run.
 */
const subgroupRows = (there: number, columns: number, s: number): number =>
  Math.max(s, [16, 8, 4].find((rows) => rows < 2 * there && rows * columns <= MOST_NUMBERS_OF_LANE) ?? s);

/**
 * `across(lane, x)`: lane r gets the sum of x[r] over all lanes, for S rows at once. At each step a lane keeps half of its rows and gives the
 * other half to the lane that keeps those: as many rows in all as there are to add. `whole_sum(x)`: the sum over all lanes, in each.
 */
function acrossHooks(s: number): string {
  const lines: string[] = [];
  let rows = Array.from({ length: s }, (_, r) => `x[${r}u]`);
  const halves = Array.from({ length: Math.log2(s) }, (_, i) => s >> (i + 1));
  for (const half of halves) {
    lines.push(`let upper${half} = (lane & ${half}u) != 0u;`);
    rows = rows.slice(0, half).map((low, r) => {
      const high = rows[r + half]!;
      const [kept, given] = [`select(${low}, ${high}, upper${half})`, `select(${high}, ${low}, upper${half})`];
      lines.push(`let x${half}_${r} = ${kept} + subgroupShuffleXor(${given}, ${half}u);`);
      return `x${half}_${r}`;
    });
  }
  const whole = halves.map((half, i) => `let x${i + 1} = x${i} + subgroupShuffleXor(x${i}, ${half}u);`);
  return [
    fnText(`across(lane: u32, x: array<f32, ${s}>) -> f32`, [...lines, `return ${rows[0]};`]),
    fnText("whole_sum(x0: f32) -> f32", [...whole, `return x${halves.length};`]),
  ].join("\n");
}

/**
 * For a CPU that stands in for a GPU, whose workgroup memory is memory like any other and a barrier a switch of all invocations: a lane
 * has every S-th column of all rows. Undefined for rows so wide that their text would be very long, and where columns are not evenly spaced.
 */
function subgroup(region: Region, plan: Plan, sizes: Record<string, string>, s: number): LoweredVariant | undefined {
  const { op, words } = plan;
  const form = forms[op.op]!;
  const [over, own] = [plan.size.over as number, plan.size.own as number];
  if (Math.max(over, own) > MOST_COLUMNS_OF_LANE * s) return undefined;
  const hooks = numberHooks(plan, s);
  if (!hooks) return undefined;
  const [a, b] = [Math.ceil(over / s), Math.ceil(own / s)];
  const rows = subgroupRows(evaluate(plan.size[form.along], region.batch), Math.max(a, b), s);
  const count = (n: number): string => `${n}u`;
  const text = kernelText({
    title: `${op.op}, subgroups of ${s}, ${rows} rows each`,
    enables: ["enable subgroups;"],
    bindings: region.bindings,
    words,
    consts: {
      S: count(s),
      TM: count(rows),
      GROUPS: count(rows / s),
      PART_A: count(a),
      PART_B: count(b),
      SCALE: literal(op.attrs.scale as number, "f32"),
    },
    // Counted by a word of the uniform, so that no driver unrolls the loads of own rows.
    sizes: { ...sizes, ROWS: words.named(`${rows} rows`, rows) },
    hooks: `${acrossHooks(s)}\n${hooks}`,
    file: `./kernels/${form.file}-subgroup.wgsl`,
    libraries: ["./kernels/attention-lanes.wgsl"],
  });
  return {
    name: `subgroup-${s}`,
    requires: { features: ["subgroups"], subgroupSize: s, hardware: false },
    workgroupSize: s,
    tile: [rows, 1],
    text,
  };
}

/** Subgroups of so many lanes: of four by quads, where they can be. */
const vectors = (...[region, plan, sizes, s]: Parameters<typeof subgroup>): LoweredVariant | undefined =>
  (s === 4 ? quad(region, plan, sizes) : undefined) ?? subgroup(region, plan, sizes, s);

function naive(region: Region, plan: Plan, sizes: Record<string, string>): LoweredVariant {
  const { op, words, size } = plan;
  const text = kernelText({
    title: `${op.op}, naive`,
    bindings: region.bindings,
    words,
    consts: {
      THREADS: `${THREADS}u`,
      A_COLUMNS: `${size.over as number}u`,
      B_COLUMNS: `${size.own as number}u`,
      SCALE: literal(op.attrs.scale as number, "f32"),
    },
    // Columns are counted by words of the uniform, so that no driver unrolls the loops over them.
    sizes: { ...sizes, OVER: words.named("over", size.over), OWN: words.named("own", size.own) },
    hooks: plan.hooks.map(({ text }) => text).join("\n"),
    file: `./kernels/${forms[op.op]!.file}-naive.wgsl`,
  });
  return { name: "naive", requires: {}, workgroupSize: THREADS, tile: [THREADS, 1], text };
}

/**
 * Whether fused is chosen where the op is made, by raise-attention: an attention that it leaves alone is products and a softmax like any
 * others. The others are forms for GPUs, taken wherever they are chosen.
 */
const attentionChoices: readonly Choice[] = [
  { name: "fused", doc: "one kernel, and one for each gradient; scores are never stored" },
  { name: "unfused", doc: "products and a softmax; scores are stored" },
  { name: "fused-8", doc: "fused, by workgroups whose threads have eight rows each, where registers hold them" },
  { name: "fused-4", doc: "fused, by workgroups whose threads have four rows each" },
];

/** Own rows of a thread that are asked for. */
const asked: Readonly<Record<string, number>> = { "fused-8": 8, "fused-4": 4 };

export const attention: Family = {
  name: "attention",
  choices: attentionChoices,
  doc: "Attention and its gradients, without the scores in memory: block by block, in registers and workgroup memory.",
  lower: (region, options) => {
    if (region.kind !== "op") return undefined;
    const plan = planOf(region);
    if (!plan) return undefined;
    const { words, size, op } = plan;
    const sizes = {
      QUERIES: words.named("queries", size.query),
      KEYS: words.named("keys", size.key),
      BATCHES: words.named("batches", size.batch),
    };
    const form = forms[op.op]!;
    const choice = options.choices?.attention;
    const onVectors = options.variants && !options.safe && (choice === undefined || choice === "fused");
    return {
      family: op.op.replaceAll("_", "-"),
      words,
      extent: [size[form.along], size.batch],
      variants: [
        ...(onVectors ? CPU_WIDTHS.flatMap((s) => vectors(region, plan, sizes, s) ?? []) : []),
        (options.safe ? undefined : workgroup(region, plan, sizes, asked[choice ?? ""])) ?? naive(region, plan, sizes),
      ],
    };
  },
};
