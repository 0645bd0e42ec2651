/**
 * Runs of weights: what one kernel reads as one tensor (`concat` of weights along their first axis) must lie side by side, and then the
 * concatenation is no work at all. A weight is in one run at most, the same in every function of the module; so who wants a run asks here
 * first, and who lays weights out (codegen/packs.ts) reads the answer from the module.
 */
import { ALIGNMENT } from "../program/pack.js";
import { webLimits } from "../program/program.js";
import { typeBytes } from "./cost.js";
import { type Module, type Node, type Param, producers, type Value } from "./graph.js";

/** A weight's name in a checkpoint: state `p.<key>` in a function that updates it, a parameter elsewhere. */
export function weightKey(p: Param): string | undefined {
  if (p.kind === "parameter") return p.name;
  return p.kind === "state" && p.name.startsWith("p.") ? p.name.slice(2) : undefined;
}

/** The weights that a function trains: those whose first moment, or sum of gradients, it carries, in its order. */
export const trainedKeys = (params: readonly Param[]): string[] => [
  ...new Set(params.filter((p) => p.kind === "state" && /^[mg]\./.test(p.name)).map((p) => p.name.slice(2))),
];

export class ParameterRuns {
  private readonly runs = new Map<string, readonly string[]>();
  private readonly trained: ReadonlySet<string>;

  constructor(
    module: Module,
    /** Largest binding in bytes; the WebGPU minimum by default. */
    readonly limit: number = webLimits.maxStorageBufferBindingSize!,
  ) {
    this.trained = new Set(module.fns.flatMap((fn) => trainedKeys(fn.params)));
  }

  /** The runs that the module's concatenations ask for. */
  static of(module: Module, limit?: number): ParameterRuns {
    const runs = new ParameterRuns(module, limit);
    for (const fn of module.fns) {
      const made = producers(fn);
      const params = new Map(fn.params.map((p) => [p.value, p]));
      for (const node of fn.nodes) {
        const weights = weightsOf(
          node,
          (v) => made.get(v),
          (v) => params.get(v),
        );
        if (weights) runs.take(weights);
      }
    }
    return runs;
  }

  /** Whether the weights of each list may stand side by side in this order; from then on they do, all lists or none. */
  take(...lists: readonly (readonly Param[])[]): boolean {
    const wanted = lists.map((weights) => this.runFrom(weights));
    if (!wanted.every((run) => run !== undefined)) return false;
    for (const run of wanted) for (const key of run) this.runs.set(key, run);
    return true;
  }

  private runFrom(weights: readonly Param[]): readonly string[] | undefined {
    const keys = weights.map((p) => weightKey(p)).filter((k) => k !== undefined);
    if (keys.length < weights.length || new Set(keys).size < keys.length) return undefined;
    if (this.runs.has(keys[0]!)) return this.has(keys) ? keys : undefined;
    const bytes = weights.map((p) => typeBytes(p.value.type)).map((n) => (typeof n === "number" ? n : Number.NaN));
    // They begin where a binding may begin, without gaps.
    const fits = bytes.every((n) => n % ALIGNMENT === 0) && bytes.reduce((a, n) => a + n, 0) <= this.limit;
    // One optimizer step goes over a whole pack: weights that it leaves alone lie elsewhere.
    const alike = keys.every((k) => this.trained.has(k) === this.trained.has(keys[0]!));
    return fits && alike && !keys.some((k) => this.runs.has(k)) ? keys : undefined;
  }

  /** Whether these weights are a run, in this order. */
  has(keys: readonly string[]): boolean {
    const run = this.runs.get(keys[0]!);
    return run?.length === keys.length && run.every((k, i) => k === keys[i]);
  }

  /** The run that a weight is in, itself included. */
  runOf(key: string): readonly string[] | undefined {
    return this.runs.get(key);
  }

  /** Whether some function of the module updates the weight. */
  isTrained(key: string): boolean {
    return this.trained.has(key);
  }

  /** Every run once. */
  all(): readonly (readonly string[])[] {
    return [...new Set(this.runs.values())];
  }
}

/** The weights that `node` concatenates along their first axis, whatever that axis is called; undefined for any other node. */
export function weightsOf(
  node: Node,
  made: (v: Value) => Node | undefined,
  param: (v: Value) => Param | undefined,
): readonly Param[] | undefined {
  if (node.op !== "concat" || node.outputs[0]!.type.axes[0] !== node.attrs.axis) return undefined;
  const weights = node.inputs.map((v) => {
    let at = v;
    for (let n = made(at); n?.op === "rename"; n = made(at)) at = n.inputs[0]!;
    const p = param(at);
    return p && weightKey(p) !== undefined ? p : undefined;
  });
  return weights.every((p) => p !== undefined) ? weights : undefined;
}
