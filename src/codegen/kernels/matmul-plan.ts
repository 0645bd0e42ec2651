/**
 * What every design of matmul starts from: the dot as M, N, K and batch loops with each operand's strides, the words of the uniform that
 * say so, and the functions that the designs' texts call. Nothing here assumes an order in memory: A, B and C are addressed by an offset
 * and a stride for each loop, and whether four neighbours can be read or written at once is asked of those.
 */
import { evaluate, product, type Size } from "../../program/size.js";
import { Words } from "../emitter.js";
import { type Finish, type FinishFours, type FoldLoops, finishLines, foldLoops } from "../fold-loops.js";
import { inFours, type SharedLoads } from "../fours.js";
import { type Affine, coefficient } from "../index-math.js";
import { fnText } from "../kernel.js";
import type { Loop, Region } from "../region.js";

/** The dot as M, N, K and batch, each loop's steps in every operand. */
export interface MatmulShape {
  readonly batch: readonly [Loop, Loop];
  readonly m: Loop;
  readonly n: Loop;
  readonly k: Loop;
  readonly a: Affine;
  readonly b: Affine;
  readonly c: Affine;
  readonly aBinding: number;
  readonly bBinding: number;
  readonly fold: FoldLoops;
}

const none: Loop = { name: "none", range: 1 };
const moves = (x: Affine, l: Loop): boolean => coefficient(x, l.name) !== 0;

/** How the loops of a dot divide, undefined when it is no plain matrix product. */
export function matmulShape(region: Region): MatmulShape | undefined {
  if (region.kind !== "dot" || region.body.results[0]!.value.type.dtype !== "f32") return undefined;
  const fold: FoldLoops = foldLoops(region);
  const [a, b] = fold.strided;
  if (!a || !b || fold.inner.length > 1) return undefined;
  // A loop that moves neither operand (a repeated view) would compute the same again and again.
  if (fold.outer.some((l) => !moves(a, l) && !moves(b, l))) return undefined;
  const own = (x: Affine, other: Affine) =>
    longest(
      fold.outer.filter((l) => moves(x, l) && !moves(other, l)),
      x,
      region.batch,
    );
  const m = own(a, b);
  const n = own(b, a);
  // Further loops that move one operand alone are batch loops, in which the other stands still.
  const batch = fold.outer.filter((l) => l !== m && l !== n);
  if (batch.length > 2) return undefined;
  const loads = fold.emitter.loads.map((l) => region.params[l.param]!);
  return {
    batch: batch.length === 2 ? [batch[0]!, batch[1]!] : [none, batch[0] ?? none],
    m: m ?? none,
    n: n ?? none,
    k: fold.inner[0] ?? none,
    a,
    b,
    c: fold.result,
    aBinding: loads[0]!,
    bBinding: loads.at(-1)!,
    fold,
  };
}

/** The loop along which the operand is contiguous, else the longest. */
function longest(loops: readonly Loop[], x: Affine, batch: number): Loop | undefined {
  const score = (l: Loop): number => (coefficient(x, l.name) === 1 ? Infinity : evaluate(l.range, batch));
  return loops.reduce<Loop | undefined>((best, l) => (best && score(best) >= score(l) ? best : l), undefined);
}

/** The same product seen from the other side: Cᵀ = Bᵀ · Aᵀ. */
export const turned = (s: MatmulShape): MatmulShape => ({
  ...s,
  m: s.n,
  n: s.m,
  a: s.b,
  b: s.a,
  aBinding: s.bBinding,
  bBinding: s.aBinding,
});

/** A shape made ready for texts; one plan serves all variants of a kernel, which share its words. */
export interface MatmulPlan {
  readonly region: Region;
  readonly shape: MatmulShape;
  readonly words: Words;
  readonly sizes: Readonly<Record<string, string>>;
  readonly finish: Finish;
  /** WGSL of each loop of the result, given m, n and the number of the batch. */
  readonly loops: readonly string[];
  readonly riding: { readonly consts: Readonly<Record<string, string>>; readonly hooks: string };
  /** Where the sum of squares of the result goes, when it is asked for, and WGSL of how many parts it has. */
  readonly squares?: { readonly binding: number; readonly parts: string };
}

/** What says how large a product is. */
type Sized = Pick<MatmulPlan, "shape" | "region">;

/** How many rows and columns there are at the compile batch, how many such products, and their multiply-adds. */
export function countsOf({ shape, region }: Sized): { rows: number; columns: number; batch: number; work: number } {
  const at = (size: Size): number => evaluate(size, region.batch);
  const [rows, columns, terms] = [shape.m, shape.n, shape.k].map(({ range }) => at(range)) as [number, number, number];
  const batch = at(product(shape.batch.map((l) => l.range)));
  return { rows, columns, batch, work: batch * rows * columns * terms };
}

/** How many tiles of these sides there are at the compile batch. */
export function tilesOf(sized: Sized, [bm, bn]: readonly [number, number]): number {
  const { rows, columns, batch } = countsOf(sized);
  return batch * Math.ceil(rows / bm) * Math.ceil(columns / bn);
}

/** `baked`: with sizes in the text. */
export function planOf(region: Region, shape: MatmulShape, baked = false): MatmulPlan {
  const { words, sizes } = matmulWords(shape, baked);
  const loops = shape.fold.outer.map((l) => loopText(shape, l, sizes));
  const finish = shape.fold.finish(words);
  const riding = ridingHooks(shape, loops, words);
  const { squares } = shape.fold;
  if (!squares) return { region, shape, words, sizes, finish, loops, riding };
  const parts = words.named("parts of squares", squares.parts);
  return { region, shape, words, sizes, finish, loops, riding, squares: { binding: squares.binding, parts } };
}

/** Sizes and strides of a matmul as words of the uniform, always in the same places: one text serves all shapes. */
export function matmulWords(s: MatmulShape, baked = false): { words: Words; sizes: Record<string, string> } {
  const words = new Words(baked);
  const sizes: Record<string, string> = {};
  const put = (name: string, size: Size) => {
    sizes[name] = words.named(name, size);
  };
  put("M", s.m.range);
  put("N", s.n.range);
  put("K", s.k.range);
  put("BATCH0", s.batch[0].range);
  put("BATCH1", s.batch[1].range);
  for (const [name, x] of [
    ["A", s.a],
    ["B", s.b],
    ["C", s.c],
  ] as const) {
    put(`${name}_OFFSET`, x.constant);
    put(`${name}_BATCH0`, coefficient(x, s.batch[0].name));
    put(`${name}_BATCH1`, coefficient(x, s.batch[1].name));
    put(`${name}_M`, coefficient(x, s.m.name));
    put(`${name}_N`, coefficient(x, s.n.name));
    put(`${name}_K`, coefficient(x, s.k.name));
  }
  return { words, sizes };
}

function loopText(s: MatmulShape, l: Loop, sizes: Readonly<Record<string, string>>): string {
  if (l.name === s.m.name) return "m";
  if (l.name === s.n.name) return "n";
  return l.name === s.batch[1].name ? `batch % ${sizes.BATCH1}` : `batch / ${sizes.BATCH1}`;
}

/**
 * Stores of the sums that ride on the dot, `store_sum_a(m, batch, value)` and `store_sum_b(n, batch, value)`, and whether there are any.
 * A sum has a place for each step of its operand's own loops; along the others the first step alone stores it.
 */
function ridingHooks(s: MatmulShape, loops: readonly string[], words: Words): MatmulPlan["riding"] {
  const hook = (name: "a" | "b", own: "m" | "n", x: Affine, operand: 0 | 1) => {
    const sums = s.fold.sums.filter((sum) => sum.operand === operand);
    if (sums.length === 0) return { has: false, text: fnText(`store_sum_${name}(${own}: u32, batch: u32, value: f32)`, []) };
    let place = "";
    const still: string[] = [];
    s.fold.outer.forEach((l, i) => {
      if (moves(x, l)) place = place === "" ? loops[i]! : `(${place}) * ${words.size(l.range)} + ${loops[i]}`;
      else if (s.batch.includes(l)) still.push(`${loops[i]} == 0u`);
    });
    const stores = sums.map((sum) => `b${sum.binding}[${place || "0u"}] = value;`);
    const lines = still.length === 0 ? stores : [`if (${still.join(" && ")}) {`, ...stores.map((line) => `  ${line}`), "}"];
    return { has: true, text: fnText(`store_sum_${name}(${own}: u32, batch: u32, value: f32)`, lines) };
  };
  const [a, b] = [hook("a", "m", s.a, 0), hook("b", "n", s.b, 1)];
  return { consts: { SUM_A: String(a.has), SUM_B: String(b.has) }, hooks: `${a.text}\n${b.text}` };
}

/** Whether four results along N are one vec4: all f32, side by side, and none also read by what follows the dot. */
export const storesVectors = ({ finish, shape }: MatmulPlan): boolean =>
  inFours(shape.c, shape.n) && finish.dtypes.every((d) => d === "f32") && !finish.bindings.some((b) => finish.reads.includes(b));

/** How four results along N are stored at once: what they read and write lies in `vec4` bindings, or is read singly. */
export interface StoreFour {
  readonly vec4: readonly number[];
  readonly single: readonly number[];
  /**
   * `store(i, m, n, batch, value: vec4f)`. For rows one after the other `store_sharing(i, m, n, batch, share: RowsShare, value: vec4f)`, with
   * what they share, `rows_share(m, n, batch) -> RowsShare`, of the first of them: all rows from there to the next multiple of `rows`.
   */
  readonly hook: string;
}

/**
 * The ways to store four, the better first: what follows the dot reads four at a time too, or is applied to one after the other. Up to `rows`
 * of results, from a multiple of that on, may share loads.
 */
export function storeFours({ finish, loops, shape, squares }: MatmulPlan, rows = 1): StoreFour[] {
  if (finish.plain) {
    const lines = [`b${finish.bindings[0]}[i / 4u] = value;`, ...(squares ? ["square_sum += dot(value, value);"] : [])];
    return [{ vec4: [], single: [], hook: storeFourText("value", lines) }];
  }
  const applied = [0, 1, 2, 3].map((j) => {
    const args = loops.map((l) => (l === "n" ? `n + ${j}u` : l));
    return `let d${j} = apply(${[...args, `value.${"xyzw"[j]}`].join(", ")});`;
  });
  const stores = finish.bindings.map((b, k) => `b${b}[i / 4u] = vec4f(d0.v${k}, d1.v${k}, d2.v${k}, d3.v${k});`);
  const each = { vec4: [], single: finish.reads, hook: `${finish.text}\n${storeFourText("value", [...applied, ...stores])}` };
  const fours: FinishFours | undefined = finish.inFours(shape.n.name, { loop: shape.m.name, steps: rows });
  if (!fours) return [each];
  const { vec4, single, shared, lines } = fours;
  const outer = shape.fold.outer.map((l, k) => `let ${l.name} = ${loops[k]};`);
  const own = { lines: [...outer, ...shared.lines], names: shared.names };
  return [{ vec4, single, hook: storeFourText("acc", [...outer, ...lines], shared.names.length > 0 ? own : undefined) }, each];
}

/** The functions of `StoreFour.hook`, whose lines store `value`; those of `shared` end with what rows share. */
export function storeFourText(value: string, lines: readonly string[], shared?: SharedLoads): string {
  const place = "m: u32, n: u32, batch: u32";
  const names = shared?.names ?? [];
  const fields = names.map((name) => `${name}: vec4f`);
  return [
    `struct RowsShare {\n  ${(shared ? fields : ["nothing: u32"]).join(",\n  ")},\n}\n`,
    fnText(`rows_share(${place}) -> RowsShare`, [...(shared?.lines ?? []), `return RowsShare(${names.join(", ")});`]),
    fnText(`store_sharing(i: u32, ${place}, share: RowsShare, ${value}: vec4f)`, [
      ...names.map((name) => `let ${name} = share.${name};`),
      ...lines,
    ]),
    fnText(`store(i: u32, ${place}, value: vec4f)`, ["store_sharing(i, m, n, batch, rows_share(m, n, batch), value);"]),
  ].join("\n");
}

/** `store(i, m, n, batch, value)`, or of another name: one result, and what follows the dot. */
export function storeHook({ finish, loops, squares }: MatmulPlan, name = "store"): string {
  const lines = [...finishLines(finish, loops, "i", "value"), ...(squares ? ["square_sum += value * value;"] : [])];
  return `${finish.text}\n${fnText(`${name}(i: u32, m: u32, n: u32, batch: u32, value: f32)`, lines)}`;
}
