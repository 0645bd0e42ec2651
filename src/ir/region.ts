/**
 * `region`: the one node that is no op of the table. In the kernel stage it stands for one kernel: it calls a body function, whose
 * parameters are bound to its inputs in order and whose results are its outputs. The body is ordinary IR, so the same evaluator,
 * printer and cost model serve it.
 */
import { type Attrs, type Fn, findFn, type Module, type Node } from "./graph.js";
import { opTable } from "./ops/index.js";
import type { Schema } from "./ops/op.js";

export const REGION = "region";

/** What a kernel does besides elementwise work: nothing, one reduction, one contraction. */
export const regionKinds = ["map", "reduce", "dot"] as const;
export type RegionKind = (typeof regionKinds)[number];

const regionSchema: Schema = { body: "fn", kind: "str" };

/** Attribute names and kinds of an op of the table or of `region`; undefined for any other name. */
export const schemaOf = (op: string): Schema | undefined => (op === REGION ? regionSchema : opTable.get(op)?.attrs);

/** Body functions are told from entry functions by their name. */
export const isBody = (fn: Fn): boolean => fn.name.startsWith("region");

export const bodyOf = (module: Module, node: Node): Fn | undefined => findFn(module, String(node.attrs.body));

export const regionAttrs = (body: string, kind: RegionKind): Attrs => ({ body, kind });
