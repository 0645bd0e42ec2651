/**
 * What a pass is: a name, a sentence, and a pure function from module to module that gives back the same object when nothing changed.
 * `pipeline` runs passes in order and verifies after each; `rewrite` is the one helper for passes that replace values.
 */
import type { Fn, Module, Node, Value } from "../ir/graph.js";
import { verify } from "../ir/verify.js";
import type { Recomputation } from "./recompute/index.js";

/** Every option of every pass; plain data, so that a pass and its options can be written down: `simplify {differentiated=true}`. */
export interface PassOptions {
  /** fuse: the most storage buffers one kernel may bind. */
  readonly maxStorageBuffers?: number;
  /** batch-dots, fuse: the largest storage binding in bytes. */
  readonly maxBinding?: number;
  /** raise-attention, raise-norm, batch-dots, stage-sums, fuse: false keeps every op a kernel of its own kind, but for elementwise chains. Default true. */
  readonly fused?: boolean;
  /** raise-attention: false leaves attention the products and the softmax that it is written as. Default true. */
  readonly attention?: boolean;
  /** simplify: gradients have been taken, so `stop_gradient` has done its work and may go. */
  readonly differentiated?: boolean;
  /** narrow: store activations, and weights that nothing trains, in f16; or these weights alone. */
  readonly narrow?: boolean | "weights";
  /** recompute: what is computed again, by function; default: nothing. */
  readonly recompute?: Readonly<Record<string, Recomputation>>;
}

export interface Pass {
  readonly name: string;
  readonly doc: string;
  readonly run: (module: Module, options: PassOptions) => Module;
}

export interface PipelineOptions {
  /** The same for all passes, or found when a pass is about to run. */
  readonly options?: PassOptions | ((pass: Pass, module: Module) => PassOptions);
  /** Verify before the first and after each pass (default), or after the last alone. */
  readonly verify?: "each" | "last";
  /** Sees the module after each pass. */
  readonly after?: (pass: Pass, module: Module) => void;
}

export function pipeline(
  passes: readonly Pass[],
  module: Module,
  { options = {}, verify: when = "each", after }: PipelineOptions = {},
): Module {
  if (when === "each" && passes[0]) verify(module, module.stage, `before ${passes[0].name}`);
  let current = module;
  for (const pass of passes) {
    current = pass.run(current, typeof options === "function" ? options(pass, current) : options);
    if (when === "each" || pass === passes.at(-1)) verify(current, current.stage, `after ${pass.name}`);
    after?.(pass, current);
  }
  return current;
}

/** `module` with every function mapped; the same object when no function changed. */
export function mapFns(module: Module, map: (fn: Fn) => Fn): Module {
  const fns = module.fns.map(map);
  return fns.every((fn, i) => fn === module.fns[i]) ? module : { ...module, fns };
}

/**
 * Goes through the nodes in order, each with its inputs already replaced. `visit` gives the values that take the place of the node's
 * outputs, or undefined to keep the node; nodes it needs on the way it pushes to `out`.
 */
export function rewrite(fn: Fn, visit: (node: Node, out: Node[]) => readonly Value[] | undefined): Fn {
  const replaced = new Map<Value, Value>();
  const now = (v: Value): Value => replaced.get(v) ?? v;
  const out: Node[] = [];
  for (const node of fn.nodes) {
    const moved = node.inputs.some((v) => replaced.has(v)) ? { ...node, inputs: node.inputs.map(now) } : node;
    const values = visit(moved, out);
    if (values) {
      node.outputs.forEach((v, i) => {
        if (values[i] !== v) replaced.set(v, values[i]!);
      });
    } else out.push(moved);
  }
  if (out.length === fn.nodes.length && out.every((node, i) => node === fn.nodes[i])) return fn;
  const results = fn.results.map((r) => (replaced.has(r.value) ? { ...r, value: now(r.value) } : r));
  return { ...fn, nodes: out, results };
}
