/**
 * Which gradients have their squares added up by the kernels that make them. The sum of squares of all gradients goes through whole packs,
 * as many a kernel as it can bind; what a large model has beyond that (DiT-L: 14 packs, DiT-XL: 21, where it can bind seven) would be one
 * more dispatch for each seven. So where it saves one, all packs whose every gradient is a plain matrix product are left to those products,
 * which store the sum beside the result, in parts. The parts of all lie in one storage, which the kernel for the other packs reads as well.
 */
import { type Fn, type Node, producers, type Value } from "../ir/graph.js";
import { REGION } from "../ir/region.js";
import type { TensorType } from "../ir/types.js";
import { SQUARES_BESIDE, type StorageKind } from "../program/program.js";
import type { Size } from "../program/size.js";
import { type Gradient, gradientsOfNorm, operandsOf } from "./gradients.js";
import type { SquaresBeside } from "./kernel.js";
import type { Region } from "./region.js";
import { inFull } from "./stored.js";

/** A result of a kernel that has its squares added up there, in so many parts, and where they go. */
export interface Rider {
  readonly of: number;
  readonly parts: number;
  readonly storage: number;
}

export interface RidingSquares {
  readonly riders: ReadonlyMap<Value, Rider>;
  /** The weights whose gradients need not be read again. */
  readonly keys: ReadonlySet<string>;
  /** All parts, side by side, and how many they are: a multiple of the parts that a sum of squares has. */
  readonly storage: number;
  readonly parts: number;
}

export interface RidingHost {
  /** The number of the pack that a weight is in. */
  packNumber(key: string): number;
  squaresBeside(region: Region): SquaresBeside | undefined;
  storage(kind: StorageKind, name: string, type: TensorType): number;
  partOf(whole: number, offset: Size, name: string, type: TensorType): number;
  readonly maxStorageBuffers: number;
  readonly maxBinding: number;
}

/** `made`: the weights that each result of a kernel is the gradient of. */
export function ridingSquares(
  fn: Fn,
  bodies: ReadonlyMap<string, Fn>,
  made: ReadonlyMap<Value, readonly string[]>,
  host: RidingHost,
): RidingSquares | undefined {
  const norm = normOf(fn, bodies);
  if (!norm) return undefined;
  const most = host.maxStorageBuffers - 1;
  const kernels = (packs: number): number => Math.ceil(packs / most);
  const packs = new Map<number, string[]>();
  for (const { key } of norm.gradients) {
    const pack = host.packNumber(key);
    packs.set(pack, [...(packs.get(pack) ?? []), key]);
  }
  if (packs.size <= most) return undefined;
  const by = producers(fn);
  const can = [...made].flatMap(([value, keys]) => {
    const beside = squaresBesideOf(by.get(value)!, value, bodies, host);
    return beside ? [{ value, keys, beside }] : [];
  });
  const able = new Set(can.flatMap(({ keys }) => keys));
  const ridden = [...packs.values()].filter((keys) => keys.every((key) => able.has(key)));
  if (kernels(packs.size - ridden.length + 1) >= kernels(packs.size)) return undefined;

  const keys = new Set(ridden.flat());
  // Parts of a storage begin at multiples of 64 numbers.
  const step = norm.parts % 64 === 0 ? norm.parts : 64 * norm.parts;
  const chosen = can.filter((c) => keys.has(c.keys[0]!)).map((c) => ({ ...c, parts: Math.ceil(c.beside.parts / step) * step }));
  const all = chosen.reduce((n, c) => n + c.parts, 0);
  if (4 * all > host.maxBinding) return undefined;
  const storage = host.storage("activation", SQUARES_BESIDE, partsType(all));
  let offset = 0;
  const riders = new Map<Value, Rider>();
  for (const c of chosen) {
    const own = host.partOf(storage, 4 * offset, SQUARES_BESIDE, partsType(c.parts));
    riders.set(c.value, { of: c.beside.of, storage: own, parts: c.parts });
    offset += c.parts;
  }
  return { riders, keys, storage, parts: all };
}

/** The gradients that a function takes the sum of squares of, and in how many parts. */
function normOf(
  fn: Fn,
  bodies: ReadonlyMap<string, Fn>,
): { readonly gradients: readonly Gradient[]; readonly parts: number } | undefined {
  for (const node of fn.nodes.filter((n) => n.op === REGION)) {
    const body = bodies.get(node.attrs.body as string)!;
    const operands = operandsOf(node, body, "sum_of_squares");
    if (!operands) continue;
    const { attrs } = body.nodes.find((n) => n.op === "sum_of_squares")!;
    return { gradients: gradientsOfNorm(fn.params, operands), parts: attrs.parts as number };
  }
  return undefined;
}

const partsType = (parts: number): TensorType => ({ dtype: "f32", axes: ["part"], shape: [parts] });

/** Asked of the region as it would be with a binding for each operand: which ones share a buffer changes nothing here. */
function squaresBesideOf(node: Node, value: Value, bodies: ReadonlyMap<string, Fn>, host: RidingHost): SquaresBeside | undefined {
  const stored = bodies.get(node.attrs.body as string);
  if (node.op !== REGION || !stored) return undefined;
  const values = [...stored.params, ...stored.results].map((x) => x.value);
  const beside = host.squaresBeside({
    kind: node.attrs.kind as Region["kind"],
    body: inFull(stored),
    params: stored.params.map((_, i) => i),
    results: stored.results.map((_, i) => stored.params.length + i),
    bindings: values.map(({ type }) => ({ dtype: type.dtype, access: "read_write" })),
    batch: 1,
  });
  return beside && node.outputs[beside.of] === value && values.length < host.maxStorageBuffers ? beside : undefined;
}

/** The body with the sum of squares of its result, in parts, as one more result. */
export function withSquares(body: Fn, { of, parts }: Pick<Rider, "of" | "parts">): Fn {
  const out: Value = { type: partsType(parts) };
  const squares: Node = { op: "sum_of_squares", inputs: [body.results[of]!.value], attrs: { parts }, outputs: [out] };
  return { ...body, nodes: [...body.nodes, squares], results: [...body.results, { name: "squares", value: out }] };
}
