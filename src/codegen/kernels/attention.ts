/**
 * attention and its two gradients: workgroups that have rows of their own (queries, or keys) and go along the others block by block, as
 * products of matrices do (attention-workgroup.ts), or, where a subgroup is a CPU's vector, lanes that hand round what they load. Scores are
 * never in storage.
 */
import { literal } from "../../ir/ops/literal.js";
import { type Choice, type Family, kernelText, type LoweredVariant } from "../kernel.js";
import type { Region } from "../region.js";
import { forms, type Plan, planOf, vectorHooks } from "./attention-plan.js";
import { workgroup } from "./attention-workgroup.js";

/** Threads of a workgroup of the naive form. */
const THREADS = 64;

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
        ...(onVectors ? CPU_WIDTHS.flatMap((s) => subgroup(region, plan, sizes, s) ?? []) : []),
        (options.safe ? undefined : workgroup(region, plan, sizes, asked[choice ?? ""])) ?? naive(region, plan, sizes),
      ],
    };
  },
};
