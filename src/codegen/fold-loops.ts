/**
 * The loops of a reduction or a dot, and what is done to its result. The dot's own accesses decide which loops are merged (so that batch
 * and token are one M); what follows it may read operands that step otherwise (a gate per batch), and takes the merged loops apart again.
 */
import { InternalError } from "../diagnostics/diagnostic.js";
import type { Node, Value } from "../ir/graph.js";
import { opRow } from "../ir/ops/index.js";
import { type DType, sizeOf } from "../ir/types.js";
import type { Size } from "../program/size.js";
import { Emitter, toStored, Words, wgslType } from "./emitter.js";
import { byFour, fourLoads, foursText, isMultiple, type SharedLoads, shareLoads } from "./fours.js";
import { type Affine, atom, zero } from "./index-math.js";
import { fnText } from "./kernel.js";
import { decode, type Loop, loopsOf, mergeRuns, quotientOf, type Region, rowMajor, runs } from "./region.js";

export interface FoldLoops {
  /** Loops over the result, in its order, and over what is folded. */
  readonly outer: readonly Loop[];
  readonly inner: readonly Loop[];
  /** Value of each operand of the anchor at those loops. */
  readonly operands: readonly string[];
  /** Index of each operand's load, when the operand is nothing but one load. */
  readonly strided: readonly (Affine | undefined)[];
  /** Every load of each operand. */
  readonly accesses: readonly (readonly Affine[])[];
  /** Index of the result. */
  readonly result: Affine;
  readonly anchor: Node;
  readonly lines: readonly string[];
  readonly emitter: Emitter;
  readonly words: Words;
  /** What follows, its sizes among `words`: a kernel that orders its words by name puts these behind them. */
  readonly finish: (words: Words) => Finish;
  readonly sums: readonly RidingSum[];
  readonly squares: SquaresOfResult | undefined;
}

/** What becomes of a result once it is whole. */
export interface Finish {
  /** Nothing: it is stored as it is. */
  readonly plain: boolean;
  /** Struct of all stored values, and `apply(i, <outer loops>, acc) -> Finished`. */
  readonly text: string;
  /** Bindings that the fields v0, v1, … are stored to, at the result's index. */
  readonly bindings: readonly number[];
  readonly dtypes: readonly DType[];
  /** Bindings it reads. */
  readonly reads: readonly number[];
  /** The same for four neighbours along one of the outer loops, where all it reads and stores lies so. `rows` are done one after the other. */
  readonly inFours: (loop: string, rows: Rows) => FinishFours | undefined;
}

/** A loop of which a kernel does so many steps in turn, from a multiple of that on. */
export interface Rows {
  readonly loop: string;
  readonly steps: number;
}

export interface FinishFours {
  /** From variables called as the outer loops to loads that are the same for all rows: a bias, a gate of the sample that all rows are of. */
  readonly shared: SharedLoads;
  /** From `acc`, a vec4f, those variables, and what is shared, each a vec4f, to the stores at `i`, which are multiples of four. */
  readonly lines: readonly string[];
  /** Bindings that it reads four at a time, and those that it reads singly. */
  readonly vec4: readonly number[];
  readonly single: readonly number[];
}

/** A sum of one operand over what the dot contracts: one element for each place of the operand's own loops. */
export interface RidingSum {
  readonly operand: 0 | 1;
  readonly binding: number;
}

/** The sum of squares of what the dot makes, in so many parts, of which it is not said which holds what. */
export interface SquaresOfResult {
  readonly binding: number;
  readonly parts: number;
}

/** The loops of a reduction or a dot. A transpose right behind the anchor only reorders the outer loops. */
export function foldLoops(region: Region): FoldLoops {
  const { body } = region;
  const anchors = body.nodes.filter((n) => opRow(n.op).fusion.kind === "anchor");
  const anchor = anchors.find((n) => n.op === "dot") ?? anchors[0];
  if (!anchor) throw new InternalError(`region ${body.name} has no anchor`);
  const main = mainValue(region, anchor);
  const names = main.type.axes;
  const over = anchor.attrs.over as readonly string[];
  const outer = loopsOf("o", main.type.shape);
  const inner = loopsOf(
    "k",
    over.map((name) => operandSize(anchor, name)),
  );
  const binding = (param: number) => `b${region.params[param]}`;
  const emit = (at: (l: Loop) => Affine, words: Words) => {
    const emitter = new Emitter(body, words, binding);
    const strided: (Affine | undefined)[] = [];
    const accesses: Affine[][] = [];
    const operands = anchor.inputs.map((v) => {
      const coords = v.type.axes.map((name) =>
        at(over.includes(name) ? inner[over.indexOf(name)]! : outer[names.indexOf(name)]!),
      );
      const [lines, loads] = [emitter.lines.length, emitter.loads.length];
      const value = emitter.at(v, coords);
      const load = emitter.loads.at(-1);
      const plain =
        load !== undefined &&
        emitter.loads.length === loads + 1 &&
        emitter.lines.length === lines + 1 &&
        emitter.lines.at(-1) === `let ${value} = ${binding(load.param)}[${emitter.printIndex(load.index)}];`;
      strided.push(plain ? load.index : undefined);
      accesses.push(emitter.loads.slice(loads).map((l) => l.index));
      return value;
    });
    return { emitter, operands, strided, accesses };
  };
  const dry = emit(atom, new Words());
  const all = dry.emitter.loads.map((l) => l.index);
  const groups = runs(outer, [...all, rowMajor(outer)], dry.emitter.pinned);
  const mergedOuter = mergeRuns(groups);
  const mergedInner = mergeRuns(runs(inner, all, dry.emitter.pinned));
  const words = new Words();
  const { emitter, operands, strided, accesses } = emit(
    (l) => mergedOuter.at.get(l.name) ?? mergedInner.at.get(l.name) ?? zero,
    words,
  );
  return {
    outer: mergedOuter.loops,
    inner: mergedInner.loops,
    operands,
    strided,
    accesses,
    result: rowMajor(mergedOuter.loops),
    anchor,
    lines: emitter.lines,
    emitter,
    words,
    finish: (into) => finishing(region, main, outer, groups, into),
    sums: ridingSums(region, anchor),
    squares: squaresOfResult(region, main),
  };
}

/** The anchor's value, as it is stored or worked on: behind the transpose that turns it. */
function mainValue(region: Region, anchor: Node): Value {
  const v = anchor.outputs[0]!;
  if (region.body.results.some((r) => r.value === v)) return v;
  const turn = region.body.nodes.find((n) => n.op === "transpose" && n.inputs[0] === v);
  return turn?.outputs[0] ?? v;
}

function ridingSums(region: Region, anchor: Node): RidingSum[] {
  if (anchor.op !== "dot") return [];
  return region.body.results.flatMap((r, k): RidingSum[] => {
    const node = region.body.nodes.find((n) => n.outputs[0] === r.value);
    if (node?.op !== "sum" || !anchor.inputs.includes(node.inputs[0]!)) return [];
    return [{ operand: node.inputs[0] === anchor.inputs[0] ? 0 : 1, binding: region.results[k]! }];
  });
}

function squaresOfResult({ body, results }: Region, main: Value): SquaresOfResult | undefined {
  const node = body.nodes.find((n) => n.op === "sum_of_squares" && n.inputs[0] === main);
  const at = body.results.findIndex((r) => r.value === node?.outputs[0]);
  return at < 0 ? undefined : { binding: results[at]!, parts: node!.attrs.parts as number };
}

/** The function that turns a whole result into what is stored. `groups`: the loops that the anchor merged, each under its last name. */
function finishing(
  region: Region,
  main: Value,
  outer: readonly Loop[],
  groups: readonly (readonly Loop[])[],
  words: Words,
): Finish {
  const sums = new Set(
    ridingSums(region, region.body.nodes.find((n) => n.op === "dot") ?? region.body.nodes[0]!).map((s) => s.binding),
  );
  const results = region.body.results.map((r, k) => ({ value: r.value, binding: region.results[k]! }));
  const squares = squaresOfResult(region, main);
  const full = results.filter((r) => !sums.has(r.binding) && r.binding !== squares?.binding);
  const bindings = full.map((r) => r.binding);
  const dtypes = full.map((r) => r.value.type.dtype);
  if (full.length === 1 && full[0]!.value === main)
    return { plain: true, text: "", bindings, dtypes, reads: [], inFours: () => undefined };

  const parts = outer.map((l) => ({ name: `e${l.name.slice(1)}`, range: l.range }));
  const partOf = new Map(outer.map((l, i) => [l.name, parts[i]!]));
  const emit = (at: (l: Loop) => Affine, into: Words) => {
    const emitter = new Emitter(region.body, into, (p) => `b${region.params[p]}`, "e_");
    const coords = parts.map(at);
    emitter.define(main, coords, "acc");
    const values = full.map((r) => emitter.at(r.value, coords));
    return { emitter, values };
  };
  const dry = emit(atom, new Words());
  const accesses = dry.emitter.loads.map((l) => l.index);
  const at = new Map<string, Affine>();
  const lines: string[] = [];
  /** The loops that each outer loop is taken apart into, the fastest last. */
  const apart = new Map<string, readonly Loop[]>();
  const declare = (name: string, text: string) => `let ${name} = ${text};`;
  for (const group of groups) {
    const own = group.map((l) => partOf.get(l.name)!);
    const merged = mergeRuns(runs(own, [...accesses, rowMajor(own)], dry.emitter.pinned));
    for (const [name, affine] of merged.at) at.set(name, affine);
    apart.set(group.at(-1)!.name, merged.loops);
    lines.push(...decode(merged.loops, group.at(-1)!.name, words.size, declare));
  }
  const { emitter, values } = emit((l) => at.get(l.name) ?? zero, words);
  const variables = groups.map((g) => `${g.at(-1)!.name}: u32, `).join("");
  const fields = full.map((r, k) => `v${k}: ${wgslType(r.value.type.dtype)}`);
  const text = [
    `struct Finished {\n  ${fields.join(",\n  ")},\n}\n`,
    fnText(`apply(${variables}acc: ${wgslType(main.type.dtype)}) -> Finished`, [
      ...lines,
      ...emitter.lines,
      `return Finished(${values.join(", ")});`,
    ]),
  ].join("\n");
  const reads = emitter.loads.map((l) => region.params[l.param]!);
  const inFours = (loop: string, rows: Rows): FinishFours | undefined => {
    const along = apart.get(loop)?.at(-1);
    const loads = along && fourLoads(region, emitter.loads, (index) => emitter.printIndex(index), along);
    if (!along || !loads || !byFour(along.range)) return undefined;
    const stores = bindings.map((b, k) => `b${b}[i] = ${values[k]!};`);
    const fours = foursText([...emitter.lines, ...stores], loads, along, ["acc"]);
    if (!fours) return undefined;
    // Rows that are within one run of the fastest loop leave the slower ones, which follow from the quotient, where they are.
    const loops = apart.get(rows.loop) ?? [];
    const still = loops.length > 1 && isMultiple(loops.at(-1)!.range, rows.steps) ? quotientOf(loops, rows.loop) : undefined;
    const own = shareLoads([...lines, ...fours], ["acc", rows.loop], still);
    return { ...own, vec4: [...loads.vec4], single: [...loads.single] };
  };
  return { plain: false, text, bindings, dtypes, reads, inFours };
}

/** Stores of all results at index `i`, from the value `acc`; `loops` are the WGSL of the outer loops. */
export function finishLines(finish: Finish, loops: readonly string[], index: string, acc: string): string[] {
  if (finish.plain) return [`b${finish.bindings[0]}[${index}] = ${toStored(acc, finish.dtypes[0]!)};`];
  return [
    `let done = apply(${[...loops, acc].join(", ")});`,
    ...finish.bindings.map((b, k) => `b${b}[${index}] = ${toStored(`done.v${k}`, finish.dtypes[k]!)};`),
  ];
}

const operandSize = (anchor: Node, name: string): Size => {
  const holder = anchor.inputs.find((v: Value) => v.type.axes.includes(name))!;
  return sizeOf(holder.type, name)!;
};
