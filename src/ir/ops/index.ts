/** The op table: every op of the IR, by name. */
import { InternalError } from "../../diagnostics/diagnostic.js";
import { accumulateOps } from "./accumulate.js";
import { activationOps } from "./activations.js";
import { attentionOps } from "./attention.js";
import { contractOps } from "./contract.js";
import { elementwiseOps } from "./elementwise.js";
import { indexingOps } from "./indexing.js";
import { logicOps } from "./logic.js";
import { normOps } from "./norm.js";
import type { AnyOp } from "./op.js";
import { pointwiseOps } from "./pointwise.js";
import { reduceOps } from "./reduce.js";
import { shapeOps } from "./shape.js";
import { sumOfSquaresOps } from "./sum-of-squares.js";

export const opTable: ReadonlyMap<string, AnyOp> = new Map(
  [
    ...elementwiseOps,
    ...activationOps,
    ...logicOps,
    ...pointwiseOps,
    ...shapeOps,
    ...reduceOps,
    ...contractOps,
    ...attentionOps,
    ...normOps,
    ...indexingOps,
    ...sumOfSquaresOps,
    ...accumulateOps,
  ].map((row) => [row.op, row]),
);

export function opRow(op: string): AnyOp {
  const row = opTable.get(op);
  if (!row) throw new InternalError(`unknown op "${op}"`);
  return row;
}
