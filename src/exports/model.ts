/**
 * What an export begins with: the traced model, before anything is fused. ONNX and PyTorch have names of their own for attention and
 * layer norm, so these are raised first, as for our own kernels; everything else stays the op that the model file says.
 */
import { traceFile } from "../compile/compile.js";
import { fail } from "../diagnostics/diagnostic.js";
import type { ParamDecl } from "../dsl/trace.js";
import type { Fn, Module } from "../ir/graph.js";
import { cse } from "../passes/cse.js";
import { dce } from "../passes/dce.js";
import { type Pass, pipeline } from "../passes/pass.js";
import { raiseAttention } from "../passes/raise-attention.js";
import { raiseNorm } from "../passes/raise-norm.js";
import { simplify } from "../passes/simplify/index.js";

export interface ExportOptions {
  readonly preset?: string;
  readonly set?: readonly string[];
}

/** One function with all that it reads besides its inputs. */
export interface ExportedFn {
  readonly fn: Fn;
  readonly params: readonly ParamDecl[];
  /** Constants by name, row-major. */
  readonly tables: ReadonlyMap<string, Float64Array>;
}

export interface ExportedModel {
  readonly name: string;
  readonly preset: string | undefined;
  readonly config: Readonly<Record<string, number | string | boolean>>;
  readonly forward: ExportedFn;
  /** The loss, as traced, where the model has an objective: the forward's nodes stand in it once more. */
  readonly loss: ExportedFn | undefined;
}

const FORWARD = "forward";
const LOSS = "loss_and_grad";

/** Traces the model file. Errors: those of `traceFile`. */
export async function exportedModel(file: string, { preset, set = [] }: ExportOptions, loss = false): Promise<ExportedModel> {
  const chosen = { set, ...(preset === undefined ? {} : { preset }) };
  const traced = await traceFile(file, { ...chosen, entries: [FORWARD] });
  const objective = loss && traced.definition.objective !== undefined;
  const more = objective ? await traceFile(file, { ...chosen, entries: [LOSS] }) : undefined;
  const of = (fns: typeof traced.fns): ExportedFn => {
    const { fn, params, tables } = fns[0]!;
    return { fn, params, tables };
  };
  const { definition, config } = traced;
  return {
    name: definition.name,
    preset: traced.preset,
    config,
    forward: of(traced.fns),
    loss: more && of(more.fns),
  };
}

const wanted = { differentiated: true } as const;

/** Attention and norms by their names, nothing twice, nothing that nobody reads. */
export const compacted = (fn: Fn): Fn => passed(fn, [raiseAttention, raiseNorm, simplify, cse, dce]);

/** The same in the order and with the repetitions of the model file, for people. */
export const readable = (fn: Fn): Fn => passed(fn, [raiseAttention, raiseNorm, dce]);

function passed(fn: Fn, passes: readonly Pass[]): Fn {
  const module: Module = { stage: "graph", fns: [fn] };
  return pipeline(passes, module, { options: wanted, verify: "last" }).fns[0]!;
}

/** Says which op a format has no form for, and where the model has it. */
export function refuseOp(format: string, node: Fn["nodes"][number], why: string): never {
  return fail("DIT7060", `${node.op} has no form in ${format}: ${why}`, {
    ...(node.loc ? { span: node.loc } : {}),
    help: "only the forward pass is exported; write it without this op",
  });
}
