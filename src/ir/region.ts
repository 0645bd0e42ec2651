/**
 * The two nodes that are no ops of the table.
 *
 * `region` (kernel stage) stands for one kernel: it calls a body function, whose parameters are bound to its inputs in order and whose
 * results are its outputs. The body is ordinary IR, so the same evaluator, printer and cost model serve it.
 *
 * `gradient` (graph stage) has a loss and values as inputs and d loss / d value as outputs, until the pass differentiate replaces it.
 */
import { type Attrs, type Fn, findFn, type Module, type Node } from "./graph.js";
import { opTable } from "./ops/index.js";
import type { Schema } from "./ops/op.js";

export const REGION = "region";
export const GRADIENT = "gradient";

/**
 * What a kernel does besides elementwise work: nothing (map); one reduction; one contraction, with elementwise work on its result and sums
 * of an operand; reductions along rows with what is elementwise before, between and after (rows); one op with a family of its own (op).
 */
export const regionKinds = ["map", "reduce", "dot", "rows", "op"] as const;
export type RegionKind = (typeof regionKinds)[number];

const schemas: Readonly<Record<string, Schema>> = { [REGION]: { body: "fn", kind: "str" }, [GRADIENT]: {} };

/** Attribute names and kinds of an op of the table or of a special node; undefined for any other name. */
export const schemaOf = (op: string): Schema | undefined =>
  opTable.get(op)?.attrs ?? (Object.hasOwn(schemas, op) ? schemas[op] : undefined);

/**
 * Whether gradients are still to be taken in `fn`. Until then values must not be merged: d loss / d y of a y that became the same value
 * as x would also count the ways through x.
 */
export const hasGradients = (fn: Fn): boolean => fn.nodes.some((node) => node.op === GRADIENT);

/** Body functions are told from entry functions by their name. */
export const isBody = (fn: Fn): boolean => fn.name.startsWith("region");

export const bodyOf = (module: Module, node: Node): Fn | undefined => findFn(module, String(node.attrs.body));

export const regionAttrs = (body: string, kind: RegionKind): Attrs => ({ body, kind });
