/**
 * The graph: a module is functions, a function one straight-line list of nodes in topological order. Everything is immutable and
 * values are compared by identity; names exist for people and printing. There are no loops: repetition is a segment of the Program.
 */
import type { Size } from "../program/size.js";
import type { DType, TensorType } from "./types.js";

/** Where in the model file a node comes from. `scope` is the parameter prefix or helper in force ("blocks.3.attn"). */
export interface Loc {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export interface Value {
  readonly type: TensorType;
  /** Hint for printing; unique names are given at print time. */
  readonly name?: string;
}

/** The closed set of attribute kinds. What cannot be printed, parsed and compared cannot be an attribute. */
export interface AttrKinds {
  num: number;
  int: number;
  bool: boolean;
  str: string;
  names: readonly string[];
  sizes: readonly Size[];
  dtype: DType;
  type: TensorType;
  fn: string;
}
export type AttrValue = AttrKinds[keyof AttrKinds];
export type Attrs = Readonly<Record<string, AttrValue>>;

export interface Node {
  readonly op: string;
  readonly inputs: readonly Value[];
  readonly attrs: Attrs;
  readonly outputs: readonly Value[];
  readonly loc?: Loc;
}

/**
 * What a parameter of a function is to the outside: data handed in, a trained weight, a table computed at compile time, or state
 * that is carried from call to call. A result with the same name as a parameter is that parameter's next value.
 */
export type ParamKind = "input" | "parameter" | "constant" | "state";

export interface Param {
  readonly name: string;
  readonly kind: ParamKind;
  readonly value: Value;
}

export interface Result {
  readonly name: string;
  readonly value: Value;
}

export interface Fn {
  readonly name: string;
  readonly params: readonly Param[];
  readonly nodes: readonly Node[];
  readonly results: readonly Result[];
}

export interface Module {
  /** "graph": ops of the language; "kernel": every node is one kernel (a region) or an alias. Verified as such. */
  readonly stage: Stage;
  readonly fns: readonly Fn[];
}

export type Stage = "graph" | "kernel";

export function findFn(m: Module, name: string): Fn | undefined {
  return m.fns.find((f) => f.name === name);
}

/** Which node makes a value; parameters have none. */
export function producers(fn: Fn): Map<Value, Node> {
  const map = new Map<Value, Node>();
  for (const node of fn.nodes) for (const v of node.outputs) map.set(v, node);
  return map;
}

/** Which nodes read a value, each node once. */
export function readers(fn: Fn): Map<Value, Node[]> {
  const map = new Map<Value, Node[]>();
  for (const node of fn.nodes) {
    for (const v of new Set(node.inputs)) {
      const list = map.get(v);
      if (list) list.push(node);
      else map.set(v, [node]);
    }
  }
  return map;
}
