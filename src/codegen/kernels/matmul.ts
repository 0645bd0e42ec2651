/** matmul: dots whose operands are plain strided reads with one row, one column and one contracted loop, and at most two batch loops. */
import type { Size } from "../../program/size.js";
import { Words } from "../emitter.js";
import { type Finish, type FoldLoops, finishLines, foldLoops } from "../fold-loops.js";
import { type Affine, coefficient } from "../index-math.js";
import { type Family, type FamilyOptions, fnText, kernelText, type LoweredVariant } from "../kernel.js";
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

/** How the loops of a dot divide, undefined when it is no plain matrix product. */
export function matmulShape(region: Region): MatmulShape | undefined {
  if (region.kind !== "dot" || region.body.results[0]!.value.type.dtype !== "f32") return undefined;
  const fold: FoldLoops = foldLoops(region);
  const [a, b] = fold.strided;
  if (!a || !b || fold.inner.length > 1) return undefined;
  const steps = (x: Affine, l: Loop) => coefficient(x, l.name) !== 0;
  const batch = fold.outer.filter((l) => steps(a, l) && steps(b, l));
  const m = fold.outer.filter((l) => steps(a, l) && !steps(b, l));
  const n = fold.outer.filter((l) => !steps(a, l) && steps(b, l));
  // A loop that moves neither operand (a repeated view) would be lost.
  if (batch.length > 2 || m.length > 1 || n.length > 1 || batch.length + m.length + n.length < fold.outer.length)
    return undefined;
  const loads = fold.emitter.loads.map((l) => region.params[l.param]!);
  return {
    batch: batch.length === 2 ? [batch[0]!, batch[1]!] : [none, batch[0] ?? none],
    m: m[0] ?? none,
    n: n[0] ?? none,
    k: fold.inner[0] ?? none,
    a,
    b,
    c: fold.result,
    aBinding: loads[0]!,
    bBinding: loads.at(-1)!,
    fold,
  };
}

/** Sizes and strides of a matmul as words of the uniform, always in the same places: one text serves all shapes. */
export function matmulWords(s: MatmulShape): { words: Words; sizes: Record<string, string> } {
  const words = new Words();
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

interface Tile {
  readonly tm: number;
  readonly tn: number;
  readonly wx: number;
  readonly wy: number;
}

/** WGSL of each outer loop of the dot, given m, n and the number of the batch. */
function loopTexts(s: MatmulShape, sizes: Record<string, string>): string[] {
  const text = (l: Loop): string => {
    if (l.name === s.m.name) return "m";
    if (l.name === s.n.name) return "n";
    return l.name === s.batch[1].name ? `batch % ${sizes.BATCH1}` : `batch / ${sizes.BATCH1}`;
  };
  return s.fold.outer.map(text);
}

/** Stores of the sums that ride on the dot, `sum_a(m, value)` and `sum_b(n, value)`, and whether there are any. */
function ridingHooks(s: MatmulShape) {
  const has = (operand: 0 | 1) => s.fold.sums.some((x) => x.operand === operand);
  const body = (operand: 0 | 1) => s.fold.sums.filter((x) => x.operand === operand).map((x) => `b${x.binding}[i] = value;`);
  return {
    consts: { SUM_A: String(has(0)), SUM_B: String(has(1)) },
    hooks: [fnText("store_sum_a(i: u32, value: f32)", body(0)), fnText("store_sum_b(i: u32, value: f32)", body(1))].join("\n"),
  };
}

function registerTile(region: Region, s: MatmulShape, { tm, tn, wx, wy }: Tile) {
  const { words, sizes } = matmulWords(s);
  const finish = s.fold.finish(words);
  const riding = ridingHooks(s);
  const hooks = [
    fnText("load_a(i: u32) -> f32", [`return b${s.aBinding}[i];`]),
    fnText("load_b(i: u32) -> f32", [`return b${s.bBinding}[i];`]),
    finish.text,
    fnText("store(i: u32, m: u32, n: u32, batch: u32, value: f32)", finishLines(finish, loopTexts(s, sizes), "i", "value")),
    riding.hooks,
  ].join("\n");
  const text = kernelText({
    title: `matmul, ${tm} × ${tn} results a thread, ${wx} × ${wy} threads`,
    bindings: region.bindings,
    words,
    consts: { TM: `${tm}u`, TN: `${tn}u`, WX: `${wx}u`, WY: `${wy}u`, ...riding.consts },
    sizes,
    hooks,
    file: "./kernels/matmul.wgsl",
  });
  return {
    words,
    variant: { name: `register-${tm}x${tn}`, requires: {}, workgroupSize: wx * wy, tile: [tn * wx, tm * wy, 1, 1], text },
  };
}

const byFour = (s: Size): boolean => (typeof s === "number" ? [s] : s).every((c) => c % 4 === 0);

/** Whether an operand can be read four numbers at a time along `along`, and every other step keeps that alignment. */
function readsByFour(x: Affine, along: Loop, others: readonly Loop[]): boolean {
  return (
    coefficient(x, along.name) === 1 &&
    byFour(along.range) &&
    byFour(x.constant) &&
    others.every((l) => byFour(coefficient(x, l.name)))
  );
}

/** The subgroup form for lanes of width `s`; undefined when the operands' order does not suit it. */
function subgroupTile(region: Region, shape: MatmulShape, s: number): LoweredVariant | undefined {
  const { a, b, m, n, k, batch } = shape;
  const aAlongK = readsByFour(a, k, [m, ...batch]);
  const aAlongM = !aAlongK && readsByFour(a, m, [k, ...batch]);
  const bAlongK = aAlongK && readsByFour(b, k, [n, ...batch]);
  const bAlongN = !bAlongK && readsByFour(b, n, [k, ...batch]);
  if (!(aAlongK || aAlongM) || !(bAlongK || bAlongN) || !readsByFour(shape.c, n, [m, ...batch])) return undefined;
  const { words, sizes } = matmulWords(shape);
  const finish = shape.fold.finish(words);
  const operands = [shape.aBinding, shape.bBinding];
  // Operands and results are read and written by fours; what follows the dot reads single numbers.
  if ([...finish.bindings, ...finish.reads].some((b) => operands.includes(b))) return undefined;
  if (finish.bindings.some((b) => finish.reads.includes(b)) || finish.dtypes.some((d) => d !== "f32")) return undefined;
  // Sums ride along where the operand is read by rows of the result anyway.
  if (shape.fold.sums.some((x) => x.operand === 1 || !aAlongM)) return undefined;
  const riding = ridingHooks(shape);
  // Rows a subgroup makes. More would load less and take drivers longer to compile: unrolled text grows with TM · KU.
  const tm = aAlongK ? Math.max(16, s) : 32;
  const hooks = [
    fnText("load_a(i: u32) -> vec4f", [`return b${shape.aBinding}[i / 4u];`]),
    fnText("load_b(i: u32) -> vec4f", [`return b${shape.bBinding}[i / 4u];`]),
    fnText("store_raw(i: u32, value: vec4f)", [`b${finish.bindings[0]}[i / 4u] = value;`]),
    fnText("load_raw(i: u32) -> vec4f", [`return b${finish.bindings[0]}[i / 4u];`]),
    finish.text,
    fnText("store(i: u32, m: u32, n: u32, batch: u32, value: vec4f)", storeByFour(finish, loopTexts(shape, sizes))),
    riding.hooks,
  ].join("\n");
  const text = kernelText({
    title: `matmul, subgroups of ${s}: ${tm} × ${4 * s} results each`,
    enables: ["enable subgroups;"],
    bindings: region.bindings,
    vec4: [...operands, ...finish.bindings],
    words,
    consts: {
      S: `${s}u`,
      TM: `${tm}u`,
      KU: aAlongK ? "4u" : "1u",
      A_LOADS: `${Math.ceil(tm / (aAlongK ? s : 4 * s))}u`,
      A_ALONG_K: String(aAlongK),
      B_ALONG_K: String(bAlongK),
      TAIL: String(!finish.plain),
      SUM_A: riding.consts.SUM_A,
    },
    sizes,
    hooks,
    file: "./kernels/matmul-subgroup.wgsl",
  });
  return {
    name: `subgroup-${s}`,
    requires: { features: ["subgroups"], subgroupSize: s },
    workgroupSize: s,
    tile: [4 * s, tm, 1, 1],
    text,
  };
}

/** Four neighbouring results at once: what follows the dot is applied to each. */
function storeByFour(finish: Finish, loops: readonly string[]): string[] {
  if (finish.plain) return [`b${finish.bindings[0]}[i / 4u] = value;`];
  const done = [0, 1, 2, 3].map((j) => {
    const args = loops.map((l) => (l === "n" ? `n + ${j}u` : l));
    return `let d${j} = apply(${[...args, `value.${"xyzw"[j]}`].join(", ")});`;
  });
  return [...done, ...finish.bindings.map((b, k) => `b${b}[i / 4u] = vec4f(d0.v${k}, d1.v${k}, d2.v${k}, d3.v${k});`)];
}

/** Widths that adapters have; one text is made for each. */
const widths = [4, 8, 16, 32];

export const matmul: Family = {
  name: "matmul",
  doc: "Matrix products: register tiles, and a subgroup form where the adapter's width is known.",
  lower: (region, options: FamilyOptions) => {
    if (options.safe) return undefined;
    const s = matmulShape(region);
    if (!s) return undefined;
    const { words, variant } = registerTile(region, s, { tm: 4, tn: 4, wx: 8, wy: 8 });
    const subgroup = options.variants ? widths.map((width) => subgroupTile(region, s, width)).filter((v) => v !== undefined) : [];
    return {
      family: "matmul",
      words,
      extent: [s.n.range, s.m.range, s.batch[1].range, s.batch[0].range],
      variants: [...subgroup, variant],
    };
  },
};
