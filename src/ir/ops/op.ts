/**
 * How an op is declared and defined. An op is two adjacent statements in one file: `declareOp` gives its signature, which is also its
 * typed constructor, and `defineOp` its rules. (One record with rules typed from the table would be circular for TypeScript.)
 * From a row come the verifier, shape inference, CPU reference, autodiff, printer and parser checks, cost report, gradient checks and
 * GPU tests; a missing rule is a compile error.
 */
import type { Size } from "../../program/size.js";
import type { AttrKinds, Attrs, Value } from "../graph.js";
import type { TensorType } from "../types.js";

/** What a constructor needs from a builder: append a node, get its outputs. */
export interface Emit {
  emit(op: string, inputs: readonly Value[], attrs: Attrs): readonly Value[];
}

export type Schema = Readonly<Record<string, keyof AttrKinds>>;
export type AttrsOf<S extends Schema> = { readonly [K in keyof S]: AttrKinds[S[K]] };

/** Operand names of an op, or "variadic" for one list of any length. */
export type Operands = readonly string[] | "variadic";
type Args<I extends Operands> = I extends readonly string[] ? { [K in keyof I]: Value } : [inputs: readonly Value[]];
type Tail<S extends Schema> = keyof S extends never ? [] : [attrs: AttrsOf<S>];

export interface OpDecl<I extends Operands, S extends Schema> {
  (b: Emit, ...args: [...Args<I>, ...Tail<S>]): Value;
  readonly op: string;
  readonly operands: I;
  readonly attrs: S;
}

export function declareOp<const I extends Operands, const S extends Schema = Record<never, never>>(
  op: string,
  operands: I,
  attrs?: S,
): OpDecl<I, S> {
  const schema = (attrs ?? {}) as S;
  const construct = (b: Emit, ...args: unknown[]): Value => {
    const rest = Object.keys(schema).length > 0 ? (args.pop() as Attrs) : {};
    const inputs = operands === "variadic" ? (args[0] as readonly Value[]) : (args as Value[]);
    return b.emit(op, inputs, rest)[0]!;
  };
  Object.defineProperty(construct, "name", { value: op });
  return Object.assign(construct, { op, operands, attrs: schema }) as unknown as OpDecl<I, S>;
}

/** A concrete tensor of the CPU reference: row-major, every dtype held as f64 (bool as 0 and 1). Shapes have no symbols. */
export interface Dense {
  readonly type: TensorType;
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

/** What `eval` sees besides its inputs: the concrete output shapes, and the rounding of the run (identity, or to f32). */
export interface EvalContext {
  readonly outputs: readonly TensorType[];
  readonly shapes: readonly (readonly number[])[];
  readonly round: (x: number) => number;
}

export interface VjpContext {
  readonly dy: Value;
  readonly inputs: readonly Value[];
  readonly output: Value;
  /** All outputs of the node; `dy` belongs to the first. Gradients flow through the first output alone. */
  readonly outputs: readonly Value[];
  /** Of which inputs the gradient is asked for; those of others are dropped. */
  readonly wanted: readonly boolean[];
}

/** Multiply-adds and plain operations of one node; bytes follow from the types. */
export interface Cost {
  readonly macs: Size;
  readonly flops: Size;
}

/** One case from which tests are derived: input types, attributes and the domain that inputs are drawn from. */
export interface Sample<S extends Schema = Schema> {
  readonly inputs: readonly TensorType[];
  readonly attrs?: AttrsOf<S>;
  /** Range of random inputs, per operand or for all; default [-2, 2]. Integers are drawn from [low, high). */
  readonly domain?: readonly [number, number] | readonly (readonly [number, number])[];
}

/**
 * elementwise: one output element from the input elements at the same place, as a WGSL expression;
 * view: no arithmetic, a re-reading of memory; indexed: decides by its coordinates what to read, so it fuses like an elementwise op;
 * anchor: a reduction or contraction, around which elementwise work may be fused;
 * row: made of reductions along the trailing axes and elementwise work; `decompose` writes it in such primitives, and a kernel that has
 * rows in hand computes it there;
 * partial: the first stage of a sum, finished by a plain `sum` of its results;
 * kernel: a kernel family of its own, which reads its operands through strides; nothing is fused into it but views.
 */
export type Fusion =
  | { readonly kind: "elementwise"; readonly wgsl: (args: readonly string[], attrs: Attrs, output: TensorType) => string }
  | { readonly kind: "view" }
  | { readonly kind: "indexed" }
  | { readonly kind: "anchor" }
  | { readonly kind: "row"; readonly decompose: (b: Emit, inputs: readonly Value[], attrs: Attrs) => Value }
  | { readonly kind: "partial" }
  /** `partial`: what it gives are parts of a sum as well. `whole`: it reads operands from end to end, so they are stored, not looked at. */
  | { readonly kind: "kernel"; readonly partial?: boolean; readonly whole?: boolean };

export interface OpRules<S extends Schema> {
  readonly doc: string;
  readonly stage: "graph" | "kernel" | "both";
  /** The output types, or a sentence that says why the operands do not fit. Never throws. */
  readonly infer: (inputs: readonly TensorType[], attrs: AttrsOf<S>) => TensorType | readonly TensorType[] | string;
  readonly eval: (inputs: readonly Dense[], attrs: AttrsOf<S>, ctx: EvalContext) => readonly Float64Array[];
  /** Gradients of the inputs as nodes; undefined where none flows. */
  readonly vjp:
    | ((b: Emit, ctx: VjpContext, attrs: AttrsOf<S>) => readonly (Value | undefined)[])
    /** `refuses`: asking for a gradient through it is an error; else there is none to flow. */
    | { readonly nondifferentiable: string; readonly refuses?: boolean };
  readonly cost: (inputs: readonly TensorType[], outputs: readonly TensorType[], attrs: AttrsOf<S>) => Cost;
  readonly fusion: Fusion;
  readonly samples: readonly [Sample<S>, ...Sample<S>[]];
}

/** A row of the table, its attribute types erased: the one documented cast of the table. */
export interface AnyOp extends OpRules<Schema> {
  readonly op: string;
  readonly operands: Operands;
  readonly attrs: Schema;
}

export function defineOp<I extends Operands, S extends Schema>(decl: OpDecl<I, S>, rules: OpRules<S>): AnyOp {
  return { ...rules, op: decl.op, operands: decl.operands, attrs: decl.attrs } as unknown as AnyOp;
}
