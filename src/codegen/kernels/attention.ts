/**
 * attention and its two gradients: workgroups that have rows of their own (queries, or keys) and go along the others block by block, as
 * products of matrices do (attention-workgroup.ts), or, where a subgroup is a CPU's vector, lanes that hand round what they load
 * (attention-subgroup.ts, of four lanes attention-quad.ts). Scores are never in storage.
 */
import { literal } from "../../ir/ops/literal.js";
import { type Choice, type Family, kernelText, type LoweredVariant } from "../kernel.js";
import type { Region } from "../region.js";
import { forms, type Plan, planOf } from "./attention-plan.js";
import { quad } from "./attention-quad.js";
import { CPU_WIDTHS, subgroup } from "./attention-subgroup.js";
import { workgroup } from "./attention-workgroup.js";

/** Threads of a workgroup of the naive form. */
const THREADS = 64;

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
    const tiled = options.safe ? [] : workgroup(region, plan, sizes, asked[choice ?? ""], options.variants);
    return {
      family: op.op.replaceAll("_", "-"),
      words,
      extent: [size[form.along], size.batch],
      variants: [
        ...(onVectors ? CPU_WIDTHS.flatMap((s) => vectors(region, plan, sizes, s) ?? []) : []),
        ...(tiled.length > 0 ? tiled : [naive(region, plan, sizes)]),
      ],
    };
  },
};
