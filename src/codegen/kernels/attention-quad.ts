/**
 * The form of attention for subgroups of four on a CPU, whose lanes swap weights inside the quad: products of a quad's queries with four keys at
 * a time, as matmul-quad.ts makes them, and the softmax between them in registers.
 */
import { literal } from "../../ir/ops/literal.js";
import { evaluate } from "../../program/size.js";
import { isMultiple } from "../fours.js";
import { kernelText, type LoweredVariant } from "../kernel.js";
import type { Region } from "../region.js";
import { type Plan, vectorHooks } from "./attention-plan.js";

/** Columns of all rows of a quad: the text is as long as they are many, and the queries' own lie in memory four times over. */
const MOST_NUMBERS = 16 * 80;
/** Quads that are worth the longer text of sixteen rows, which SwiftShader takes half a second to compile. */
const ENOUGH_QUADS = 128;

/** Rows of a quad: the more, the less is loaded for each. Of more than sixteen caches of instructions no longer hold the text. */
function rowsFor(region: Region, { size }: Plan, columns: number): number | undefined {
  const [queries, batches] = [size.query, size.batch].map((s) => evaluate(s, region.batch)) as [number, number];
  return [16, 8, 4].find(
    (rows) =>
      rows * columns <= MOST_NUMBERS && (rows < 16 || Math.ceil(queries / 16) * batches >= ENOUGH_QUADS) && rows < 2 * queries,
  );
}

/** Undefined for the gradients, where rows are very wide, and where columns are not evenly spaced. */
export function quad(region: Region, plan: Plan, sizes: Record<string, string>): LoweredVariant | undefined {
  const { op, words, size } = plan;
  if (op.op !== "attention") return undefined;
  // Vectors of a row of q and k, and those that each lane has of a row of v.
  const [a, b] = [Math.ceil((size.over as number) / 4), Math.ceil((size.own as number) / 16)];
  const rows = rowsFor(region, plan, Math.max(4 * a, 16 * b));
  const hooks = rows && vectorHooks(region, plan, a, 4 * b);
  if (!rows || !hooks) return undefined;
  const count = (n: number): string => `${n}u`;
  const text = kernelText({
    title: `attention, subgroups of 4 that swap weights, ${rows} rows each`,
    enables: ["enable subgroups;"],
    bindings: region.bindings,
    words,
    consts: {
      TM: count(rows),
      PART_A: count(a),
      PART_B: count(b),
      COLUMNS: count(4 * b),
      SCALE: literal(op.attrs.scale as number, "f32"),
      ...(isMultiple(size.key, 4) ? {} : { KEYS_END: "true" }),
    },
    // Counted by words of the uniform, so that no driver unrolls the loads of own rows.
    sizes: { ...sizes, ROWS: words.named(`${rows} rows`, rows), VECTORS: words.named("vectors a", a) },
    ...hooks,
    file: "./kernels/attention-quad.wgsl",
  });
  return {
    name: `quad-${rows}`,
    requires: { features: ["subgroups"], subgroupSize: 4, hardware: false },
    workgroupSize: 4,
    tile: [rows, 1],
    text,
  };
}
