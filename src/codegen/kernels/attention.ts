/**
 * attention and its two gradients: a few threads a query (or key), which go along the keys (or queries) tile by tile, a tile held in
 * workgroup memory, or, where a subgroup is a CPU's vector, handed round the lanes. Scores are never in storage.
 */
import { literal } from "../../ir/ops/literal.js";
import { type Choice, type Family, kernelText, type LoweredVariant } from "../kernel.js";
import type { Region } from "../region.js";
import { forms, type Plan, planOf, vectorHooks } from "./attention-plan.js";
import { workgroup } from "./attention-workgroup.js";

const THREADS = 64;
/** Workgroup memory in all, what every device has, and the most rows of a tile. */
const WORKGROUP_BYTES = 16384;
const MOST_ROWS = 16;
/** Vectors of a row in one thread: a backward thread holds four such sets in registers. More threads share a longer row. */
const VECTORS_OF_THREAD = 4;
const MOST_LANES = 16;

/** Undefined when not even one row of its own and one of a tile fit workgroup memory. */
function tiled(region: Region, plan: Plan, sizes: Record<string, string>): LoweredVariant | undefined {
  const { op, words } = plan;
  const form = forms[op.op]!;
  const over = plan.size.over as number;
  const own = plan.size.own as number;
  const vectors = (columns: number): number => Math.ceil(columns / 4);
  const lanes = Math.min(MOST_LANES, Math.ceil(vectors(Math.max(over, own)) / VECTORS_OF_THREAD));
  const partOf = (columns: number): number => Math.ceil(vectors(columns) / lanes);
  const a = partOf(over) * lanes;
  const b = partOf(own) * lanes;
  const ownVectors = Math.max(a, b);
  const rowsFor = (owners: number): number => {
    // The rows of the tile, or before and after them those of the workgroup's own, and what there is for each row of the tile besides.
    const besides = 4 * (owners * (form.parts * lanes + form.scores) + (form.along === "key" ? b + 1 : 0));
    const [whole, own] = [16 * (a + b) + besides, 16 * owners * ownVectors];
    return Math.min(MOST_ROWS, Math.floor(WORKGROUP_BYTES / whole), Math.floor((WORKGROUP_BYTES - own) / besides));
  };
  // Rows so wide that they leave no room for a tile are fewer.
  let owners = Math.floor(THREADS / lanes);
  while (owners > 1 && rowsFor(owners) < 1) owners >>= 1;
  const threads = owners * lanes;
  const rows = rowsFor(owners);
  const hooks = vectorHooks(region, plan, a, b, false);
  if (rows < 1 || !hooks) return undefined;
  const count = (n: number): string => `${n}u`;
  const text = kernelText({
    title: `${op.op}, ${lanes} threads a row, tiles of ${rows} rows`,
    bindings: region.bindings,
    words,
    consts: {
      THREADS: count(threads),
      LANES: count(lanes),
      OWNERS: count(owners),
      ROWS: count(rows),
      A: count(a),
      B: count(b),
      PART_A: count(partOf(over)),
      PART_B: count(partOf(own)),
      LOADS_A: count(Math.ceil((rows * a) / threads)),
      LOADS_B: count(Math.ceil((rows * b) / threads)),
      MEMORY: count(Math.max(owners * ownVectors, rows * (a + b))),
      SCALE: literal(op.attrs.scale as number, "f32"),
    },
    // The rows of a tile are counted by a word of the uniform: drivers that unroll the tile take ten times as long to compile it.
    sizes: { ...sizes, TILE: words.named("tile", rows) },
    ...hooks,
    file: `./kernels/${form.file}.wgsl`,
    libraries: ["./kernels/attention-blocks.wgsl", "./kernels/attention-tile.wgsl"],
  });
  return { name: "tile", requires: {}, workgroupSize: threads, tile: [owners, 1], text };
}

/** Widths of subgroups that are the vector of a CPU; a GPU's are wider, or of several widths. */
const CPU_WIDTHS = [4, 8, 16];
/** Rows of its own that a subgroup has: text is unrolled over them, and a driver's time to compile grows faster than it. */
const SUBGROUP_ROWS = 8;
/** Most vectors of a row in one lane. */
const MOST_VECTORS_OF_LANE = 8;

/**
 * For a CPU that stands in for a GPU, whose workgroup memory is memory like any other and a barrier a switch of all invocations: lanes
 * hold rows in registers and hand round what they load. Undefined for rows so wide that a subgroup does not hold one.
 */
function subgroup(region: Region, plan: Plan, sizes: Record<string, string>, s: number): LoweredVariant | undefined {
  const { op, words } = plan;
  const form = forms[op.op]!;
  const [over, own] = [Math.ceil((plan.size.over as number) / 4), Math.ceil((plan.size.own as number) / 4)];
  if (Math.max(over, own) > MOST_VECTORS_OF_LANE * s) return undefined;
  const [a, b] = [Math.ceil(over / s), Math.ceil(own / s)];
  const hooks = vectorHooks(region, plan, a * s, b * s, true);
  if (!hooks) return undefined;
  const count = (n: number): string => `${n}u`;
  const text = kernelText({
    title: `${op.op}, subgroups of ${s}, ${SUBGROUP_ROWS} rows each`,
    enables: ["enable subgroups;"],
    bindings: region.bindings,
    words,
    consts: {
      S: count(s),
      TM: count(SUBGROUP_ROWS),
      LOADS: count(Math.ceil(SUBGROUP_ROWS / s)),
      PART_A: count(a),
      PART_B: count(b),
      SCALE: literal(op.attrs.scale as number, "f32"),
    },
    // Counted by words of the uniform, so that no driver unrolls the steps along the width.
    sizes: { ...sizes, A: words.named("vectors a", over), B: words.named("vectors b", own) },
    ...hooks,
    file: `./kernels/${form.file}-subgroup.wgsl`,
    libraries: ["./kernels/attention-lanes.wgsl"],
  });
  return {
    name: `subgroup-${s}`,
    requires: { features: ["subgroups"], subgroupSize: s },
    workgroupSize: s,
    tile: [SUBGROUP_ROWS, 1],
    text,
  };
}

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
  { name: "rows", doc: "fused, by workgroups that have a few threads a row" },
];

/** What runs whatever the subgroups are. */
function portable(
  region: Region,
  plan: Plan,
  sizes: Record<string, string>,
  choice: string | undefined,
): LoweredVariant | undefined {
  if (choice === "rows") return tiled(region, plan, sizes);
  return workgroup(region, plan, sizes, choice === "fused-8" ? 8 : choice === "fused-4" ? 4 : undefined);
}

export const attention: Family = {
  name: "attention",
  choices: attentionChoices,
  doc: "Attention and its gradients, without the scores in memory: a few threads a query or key, tiles in workgroup memory.",
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
        ...(onVectors ? CPU_WIDTHS.flatMap((s) => subgroup(region, plan, sizes, s) ?? []) : []),
        (options.safe ? undefined : portable(region, plan, sizes, choice)) ?? naive(region, plan, sizes),
      ],
    };
  },
};
