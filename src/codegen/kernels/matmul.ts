/** matmul: dots whose operands are plain strided reads with one row, one column and one contracted loop, and at most two batch loops. */
import type { Size } from "../../program/size.js";
import { type Affine, coefficient } from "../index-math.js";
import { type Family, type FamilyOptions, fnText, kernelText } from "../kernel.js";
import { type FoldLoops, type Loop, type Region, foldLoops } from "../region.js";
import { Words } from "../emitter.js";

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
  readonly cBinding: number;
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
  if (batch.length > 2 || m.length > 1 || n.length > 1 || batch.length + m.length + n.length < fold.outer.length) return undefined;
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
    cBinding: region.results[0]!,
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
  for (const [name, x] of [["A", s.a], ["B", s.b], ["C", s.c]] as const) {
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

function registerTile(region: Region, s: MatmulShape, { tm, tn, wx, wy }: Tile) {
  const { words, sizes } = matmulWords(s);
  const hooks = [
    fnText("load_a(i: u32) -> f32", [`return b${s.aBinding}[i];`]),
    fnText("load_b(i: u32) -> f32", [`return b${s.bBinding}[i];`]),
    fnText("store(i: u32, value: f32)", [`b${s.cBinding}[i] = value;`]),
  ].join("\n");
  const text = kernelText({
    title: `matmul, ${tm} × ${tn} results a thread, ${wx} × ${wy} threads`,
    bindings: region.bindings,
    words,
    consts: { TM: `${tm}u`, TN: `${tn}u`, WX: `${wx}u`, WY: `${wy}u` },
    sizes,
    hooks,
    file: "./kernels/matmul.wgsl",
  });
  return { words, variant: { name: `register-${tm}x${tn}`, requires: {}, workgroupSize: wx * wy, tile: [tn * wx, tm * wy, 1, 1], text } };
}

export const matmul: Family = {
  name: "matmul",
  doc: "Matrix products: register tiles, and a subgroup form where the adapter's width is known.",
  lower: (region, options: FamilyOptions) => {
    if (options.safe) return undefined;
    const s = matmulShape(region);
    if (!s) return undefined;
    const { words, variant } = registerTile(region, s, { tm: 4, tn: 4, wx: 8, wy: 8 });
    return { family: "matmul", words, extent: [s.n.range, s.m.range, s.batch[1].range, s.batch[0].range], variants: [variant] };
  },
};
