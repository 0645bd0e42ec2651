/**
 * Where values of an entry's function lie when that is not a storage of their own: the next value of a state over the old one, gradients
 * beside their weights, results of kernels in a window of something larger.
 */
import { InternalError } from "../diagnostics/diagnostic.js";
import { type Fn, type Node, type Param, producers, type Value } from "../ir/graph.js";
import { accumulateOperands } from "../ir/ops/accumulate.js";
import { opRow } from "../ir/ops/index.js";
import { weightsOf } from "../ir/parameter-runs.js";
import { REGION } from "../ir/region.js";
import { type Window, windowsOf } from "../ir/strides.js";
import type { TensorType } from "../ir/types.js";
import type { StorageKind } from "../program/program.js";
import { mul, product, type Size, sameSize } from "../program/size.js";
import { type Gradient, operandsOf } from "./gradients.js";

/** What the places ask of whoever owns the storages. */
export interface PlaceHost {
  /** Weights that lie side by side, or their gradients, as one storage. */
  runOf(kind: StorageKind, keys: readonly string[], type: TensorType): number | undefined;
  /** The place beside a trained weight for its gradient. */
  gradientPart(key: string, type: TensorType): number | undefined;
  bytesOf(storage: number): Size;
}

export class Places {
  private readonly made: ReadonlyMap<Value, Node>;
  /** Results that are stored in a window of what a concat puts together. */
  readonly windows = new Map<Value, { readonly whole: Value; readonly window: Window }>();
  /** The weights that a result of a kernel is the gradient of, when it is made beside them. */
  readonly gradientsIn = new Map<Value, readonly string[]>();
  private readonly params: ReadonlyMap<Value, Param>;
  private readonly results: ReadonlySet<Value>;

  constructor(
    private readonly fn: Fn,
    private readonly bodies: ReadonlyMap<string, Fn>,
  ) {
    this.made = producers(fn);
    this.params = new Map(fn.params.map((p) => [p.value, p]));
    this.results = new Set(fn.results.map((r) => r.value));
    this.findWindows();
  }

  /** The weights that a concat puts together; undefined for any other node. */
  weights(node: Node): readonly Param[] | undefined {
    return weightsOf(
      node,
      (v) => this.made.get(v),
      (v) => this.params.get(v),
    );
  }

  private findWindows(): void {
    const inner = new Set<Node>();
    const views = (v: Value): Node | undefined => {
      const node = this.made.get(v);
      if (node?.op === "concat") inner.add(node);
      return node?.op === REGION ? undefined : node;
    };
    // The last first: a concat inside another has its windows in that one.
    for (const node of this.fn.nodes.toReversed()) {
      if (node.op !== "concat" || this.weights(node) || inner.has(node)) continue;
      const windows = windowsOf(node, views);
      if (!windows) throw new InternalError(`@${this.fn.name} joins values that have no windows`);
      for (const { root, window } of windows) this.windows.set(root, { whole: node.outputs[0]!, window });
    }
  }

  /** Results written over the parameter of their name, when every other read of it comes first. */
  inPlace(): ReadonlyMap<Value, Param> {
    const writer = new Map(this.fn.nodes.flatMap((node, i) => node.outputs.map((v) => [v, i] as const)));
    const lastRead = this.lastReads();
    const taken = new Map<Value, Param>();
    for (const { name, value } of this.fn.results) {
      const p = this.fn.params.find((q) => q.name === name);
      const made = writer.get(value);
      if (!p || made === undefined || taken.has(value) || this.fn.nodes[made]!.op !== REGION) continue;
      const read = lastRead(p.value);
      if (read < made || (read === made && this.readsInPlace(this.fn.nodes[made]!, p.value, value))) taken.set(value, p);
    }
    return taken;
  }

  /** The node that reads a value last, through aliases too; one past the end for what a result hands out. */
  private lastReads(): (v: Value) => number {
    const end = this.fn.nodes.length;
    const known = new Map<Value, number>();
    const read = new Map<Value, number[]>();
    this.fn.nodes.forEach((node, i) => {
      for (const v of node.inputs) read.set(v, [...(read.get(v) ?? []), i]);
    });
    const last = (v: Value): number => {
      const done = known.get(v);
      if (done !== undefined) return done;
      const direct = (read.get(v) ?? []).map((i) => {
        const { op, outputs } = this.fn.nodes[i]!;
        if (op === REGION) return i;
        return this.results.has(outputs[0]!) ? end : last(outputs[0]!);
      });
      const at = Math.max(-1, ...direct);
      known.set(v, at);
      return at;
    };
    // A result that hands out an old value reads it after everything else.
    return (v) => (this.results.has(v) && !this.made.has(v) ? end : last(v));
  }

  /** Whether a map, or a sum going on, reads `v` only at the element of `made` that it writes: through no view or index. */
  private readsInPlace(node: Node, v: Value, made: Value): boolean {
    const body = this.bodies.get(node.attrs.body as string)!;
    const added = operandsOf(node, body, "accumulate");
    if (added) {
      const total = accumulateOperands(added).totals[node.outputs.indexOf(made)];
      return total === v && added.filter((x) => x === v).length === 1;
    }
    if (node.attrs.kind !== "map") return false;
    return node.inputs.every((input, i) => {
      const inner = body.params[i]!.value;
      const readers = input === v ? body.nodes.filter((n) => n.inputs.includes(inner)) : [];
      return readers.every((n) => n.op === "rename" || opRow(n.op).fusion.kind === "elementwise");
    });
  }

  /** What is done to all gradients at once is one kernel a pack when they lie side by side: each is made where it belongs. */
  gradients(gradients: readonly Gradient[], host: PlaceHost): ReadonlyMap<Value, number> {
    const placed = new Map<Value, number>();
    const behind = (v: Value, stop: (n: Node) => boolean): Value => {
      const n = this.made.get(v);
      return !n || stop(n) ? v : behind(n.inputs[0]!, stop);
    };
    /** Gradients that are parts of one product, by what they are parts of. */
    const parts = new Map<Value, { readonly slice: Value; readonly key: string; readonly from: number }[]>();
    gradients.forEach(({ key, value: v }) => {
      const root = behind(v, (n) => n.op === REGION || n.op === "slice" || n.op === "concat");
      const node = this.made.get(root);
      if (!node || placed.has(root) || this.results.has(root) || this.results.has(v)) return;
      if (node.op === "slice") {
        const whole = behind(node.inputs[0]!, (n) => n.op === REGION || n.op === "concat");
        parts.set(whole, [...(parts.get(whole) ?? []), { slice: root, key, from: node.attrs.from as number }]);
        return;
      }
      const part = host.gradientPart(key, v.type);
      if (part === undefined) return;
      placed.set(root, part);
      this.gradientsIn.set(root, [key]);
    });
    for (const [whole, list] of parts) {
      list.sort((a, b) => a.from - b.from);
      const sorted = list.map((p) => p.key);
      const run = host.runOf("gradient", sorted, whole.type);
      if (run === undefined || !sameSize(host.bytesOf(run), mul(4, product(whole.type.shape)))) continue;
      placed.set(whole, run);
      this.gradientsIn.set(whole, sorted);
      for (const { slice, key } of list) placed.set(slice, host.gradientPart(key, slice.type)!);
    }
    return placed;
  }
}
