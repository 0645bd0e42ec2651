/**
 * Attention and its gradients for GPUs: products and weighted sums tiled in registers, as in a matmul, of one workgroup's rows with a block of
 * the others at a time. How many threads there are and what each has is decided here; attention-products.wgsl says what they do.
 */
import { literal } from "../../ir/ops/literal.js";
import { evaluate } from "../../program/size.js";
import { kernelText, LOOPED, type LoweredVariant, type TextParts } from "../kernel.js";
import type { Region } from "../region.js";
import { forms, type Plan, vectorHooks } from "./attention-plan.js";

/** Workgroup memory in vec4: 16 KiB, what every device has. */
const MOST_MEMORY = 1024;
/** Rows of threads. With 16 to 20 columns these are 128 to 160; narrow ones have twice as many rows, of half as many results a thread, where 8 are asked for. */
const ROWS_OF_THREADS = 8;
/** Fewest and most columns of threads. */
const [LEAST_WX, MOST_WX] = [8, 20];
/** Most vectors of a row of the result in one thread: more are more than registers hold, and minutes to compile. */
const MOST_PARTS = 3;
/** Most vec4 that a thread adds up or keeps between the products; with what it fetches they fill the registers of a GPU. */
const MOST_KEPT = 32;
/** Vectors between four steps of either operand and the next four. */
const GAP = 2;
/** Workgroups that a large GPU can run at a time: below it, half the rows and twice as many workgroups. */
const ENOUGH_WORKGROUPS = 132;

interface Shape {
  /** Columns of threads, and how many vectors of a result's row each has. */
  readonly wx: number;
  readonly part: number;
  readonly wy: number;
  /** Own rows of a thread, in fours. */
  readonly rowsA: number;
  /** Vectors along the width that are in memory at a time. */
  readonly step: number;
}

/** Steps of a sum that are in memory at a time, and so lines that its threads can keep there; a multiple of four. */
const depthOf = ({ wx, wy, rowsA, step }: Shape): number => 4 * Math.ceil(Math.max(4 * step, wx, wy * rowsA) / 4);

const fits = (shape: Shape): boolean => {
  const { wx, wy, part, rowsA } = shape;
  return depthOf(shape) * ((wy + 1) * rowsA + part * wx + GAP / 2) <= MOST_MEMORY;
};

/** vec4 of products and of sums in a thread. */
const keptOf = (op: string, { part, rowsA }: Shape): number =>
  4 * rowsA * { attention: 1 + part, attention_grad_q: 2 + part, attention_grad_kv: 2 + 2 * part }[op]!;

/** The one of the least zeros at the end of rows of `a` and `b` vectors; of two the shorter. */
function stepFor(a: number, b: number): number {
  const padded = (step: number): number => (Math.ceil(a / step) + Math.ceil(b / step)) * step;
  return [4, 5, 6].reduce((best, step) => (padded(step) < padded(best) ? step : best));
}

/** Undefined for rows so wide that no such workgroup holds them. `rows`: own rows for each row of eight threads, 8 or 4. */
function shapeFor(op: string, a: number, b: number, rows: number): Shape | undefined {
  const widest = Math.max(a, b);
  for (let part = Math.ceil(widest / MOST_WX); part <= MOST_PARTS; part++) {
    // An even number, for pairs of steps.
    const wx = Math.max(LEAST_WX, 2 * Math.ceil(widest / part / 2));
    const tall = wx === LEAST_WX && rows === 8;
    const wy = tall ? 2 * ROWS_OF_THREADS : ROWS_OF_THREADS;
    const shape = { wx, part, wy, rowsA: tall ? 1 : rows / 4, step: stepFor(a, b) };
    if (fits(shape) && keptOf(op, shape) <= MOST_KEPT) return shape;
    const fewer = { ...shape, rowsA: 1 };
    if (fits(fewer)) return fewer;
  }
  return undefined;
}

/**
 * Eight own rows a thread read least: forward, where workgroups of eight are enough for a GPU at the compile batch and half of the rows would
 * not do nothing. A gradient holds twice and three times as much in registers; with eight it was as fast or slower wherever it was tried.
 * `asked`: what is chosen by hand.
 */
function rowsFor(region: Region, { op, size }: Plan, asked: number | undefined): number {
  if (asked !== undefined) return asked;
  if (op.op !== "attention") return 4;
  const rows = evaluate(size.query, region.batch);
  const workgroups = Math.ceil(rows / (8 * ROWS_OF_THREADS)) * evaluate(size.batch, region.batch);
  return workgroups >= ENOUGH_WORKGROUPS && rows > 4 * ROWS_OF_THREADS ? 8 : 4;
}

/**
 * For GPUs with all of a step in the text, where nothing is left to find; and for every device with steps counted by words of the uniform,
 * so that no driver unrolls them: those that run this on a CPU would take minutes to compile the former. None where no workgroup holds
 * the rows.
 */
export function workgroup(
  region: Region,
  plan: Plan,
  sizes: Record<string, string>,
  asked: number | undefined,
  guarded: boolean,
): LoweredVariant[] {
  const { op, words } = plan;
  const [a, b] = [Math.ceil((plan.size.over as number) / 4), Math.ceil((plan.size.own as number) / 4)];
  const shape = shapeFor(op.op, a, b, rowsFor(region, plan, asked));
  if (!shape) return [];
  const { wx, wy, part, rowsA, step } = shape;
  // What is read of a row: whole steps, and as many vectors as the columns of threads have.
  const read = (vectors: number): number => Math.max(Math.ceil(vectors / step) * step, part * wx);
  const hooks = vectorHooks(region, plan, read(a), read(b));
  if (!hooks) return [];
  const [threads, owners, block] = [wx * wy, 4 * rowsA * wy, 4 * wx];
  const blocks = (wy * rowsA + wx) * step;
  const count = (n: number): string => `${n}u`;
  const pairs = words.named("column pairs", wx / 2);
  const whole = { WHOLE: "true", STEP_PAIRS: count(2 * step), COLUMN_PAIRS: count(wx / 2), COLUMNS: count(wx) };
  const looped = { STEP_PAIRS: words.named("step pairs", 2 * step), COLUMN_PAIRS: pairs, COLUMNS: `2u * ${pairs}` };
  const textOf = (more: Pick<TextParts, "consts" | "sizes">): string =>
    kernelText({
      title: `${op.op}, ${owners} rows a workgroup along blocks of ${block}, ${4 * rowsA} × 4 products a thread`,
      bindings: region.bindings,
      words,
      consts: {
        THREADS: count(threads),
        WX: count(wx),
        WY: count(wy),
        OWNERS: count(owners),
        ROWS_A: count(rowsA),
        RESULTS: count(4 * rowsA),
        PART: count(part),
        SUMS: count(4 * rowsA * part),
        STEP: count(step),
        FETCHES: count(Math.ceil(blocks / threads)),
        ROW_FETCHES: count(Math.ceil((wx * part * wx) / threads)),
        DEPTH: count(depthOf(shape)),
        GAP: count(GAP),
        SCALE: literal(op.attrs.scale as number, "f32"),
        ...more.consts,
      },
      sizes: {
        ...sizes,
        A: words.named("vectors a", a),
        B: words.named("vectors b", b),
        ...more.sizes,
      },
      ...hooks,
      file: `./kernels/${forms[op.op]!.file}-workgroup.wgsl`,
      libraries: ["./kernels/attention-blocks.wgsl", "./kernels/attention-products.wgsl"],
    });
  const variant = { workgroupSize: threads, tile: [owners, 1] };
  const name = `workgroup-${owners}x${block}`;
  return [
    ...(guarded ? [{ ...variant, name, requires: { hardware: true }, text: textOf({ consts: whole, sizes: {} }) }] : []),
    { ...variant, name: `${name}${LOOPED}`, requires: {}, text: textOf({ consts: {}, sizes: looped }) },
  ];
}
