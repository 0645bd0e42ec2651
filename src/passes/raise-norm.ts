/**
 * raise-norm — layer norm, found in the primitives of whatever spelling.
 *
 *   mean, centre, square, mean, + eps, rsqrt, mul   ⇒   %h = normalize(%x) {over=[hidden], eps=1e-6}
 *
 * Seen as one op it has a short adjoint that computes the statistics again from x, and fuse writes it in the two-pass form, also where the
 * model says E[x²] − E[x]², which loses digits. Repetition (`expand`) is looked through: it commutes with elementwise work, and axes are
 * told by name. Scale and shift afterwards are elementwise and join the same kernel later, in any spelling. A norm of which an inner value
 * is read elsewhere stays as it is.
 */
import type { Fn, Node, Value } from "../ir/graph.js";
import { producers } from "../ir/graph.js";
import { sizeOf } from "../ir/types.js";
import { mapFns, type Pass } from "./pass.js";
import { Pattern, sameAxes, wholeness } from "./pattern.js";

export const raiseNorm: Pass = {
  name: "raise-norm",
  doc: "Find layer norm in primitives, in any spelling: (x − mean) / √(variance + eps) becomes normalize.",
  run: (module, options) => (options.fused === false || module.stage === "kernel" ? module : mapFns(module, raised)),
};

function raised(fn: Fn): Fn {
  const made = producers(fn);
  const whole = wholeness(fn);
  const raise = new Map<Node, Norm>();
  for (const node of fn.nodes) {
    const pattern = new NormPattern(made);
    const norm = pattern.norm(node);
    if (norm && whole(node, pattern.seen)) raise.set(node, norm);
  }
  if (raise.size === 0) return fn;
  const out: Node[] = [];
  const replaced = new Map<Value, Value>();
  const now = (v: Value): Value => replaced.get(v) ?? v;
  for (const node of fn.nodes) {
    const norm = raise.get(node);
    if (!norm) {
      out.push({ ...node, inputs: node.inputs.map(now) });
      continue;
    }
    const output = node.outputs[0]!;
    const made: Value = output.name ? { type: output.type, name: output.name } : { type: output.type };
    const { over, eps } = norm;
    out.push({
      op: "normalize",
      inputs: [now(norm.x)],
      attrs: { over, eps },
      outputs: [made],
      ...(node.loc ? { loc: node.loc } : {}),
    });
    replaced.set(output, made);
  }
  return { ...fn, nodes: out, results: fn.results.map((r) => ({ ...r, value: now(r.value) })) };
}

interface Norm {
  readonly x: Value;
  readonly over: readonly string[];
  readonly eps: number;
}

interface Mean {
  readonly of: Value;
  readonly over: readonly string[];
}

class NormPattern extends Pattern {
  norm(node: Node): Norm | undefined {
    if (node.outputs[0]!.type.dtype !== "f32") return undefined;
    const match = (centred: Value, deviation: { readonly variance: Value } | undefined): Norm | undefined => {
      if (!deviation) return undefined;
      const centre = this.centred(centred);
      if (!centre || centre.of.type.axes.length !== node.outputs[0]!.type.axes.length) return undefined;
      const spread = this.plusEps(deviation.variance);
      if (!spread || !this.isVariance(spread.variance, centre)) return undefined;
      return { x: centre.of, over: centre.over, eps: spread.eps };
    };
    if (node.op === "mul")
      return this.first(
        this.orders(node).map(
          ([c, r]) =>
            () =>
              match(c, this.inverseRoot(r)),
        ),
      );
    if (node.op !== "div") return undefined;
    const root = this.node(node.inputs[1]!, "sqrt");
    return root && match(node.inputs[0]!, { variance: root.inputs[0]! });
  }

  /** x of 1/√x, in its spellings. */
  private inverseRoot(v: Value): { readonly variance: Value } | undefined {
    const node = this.node(v, "rsqrt", "reciprocal", "div");
    if (!node) return undefined;
    if (node.op === "rsqrt") return { variance: node.inputs[0]! };
    if (node.op === "div" && this.constant(node.inputs[0]!) !== 1) return undefined;
    const root = this.node(node.inputs.at(-1)!, "sqrt");
    return root && { variance: root.inputs[0]! };
  }

  private plusEps(v: Value): { readonly variance: Value; readonly eps: number } | undefined {
    const node = this.node(v, "add");
    if (!node) return undefined;
    return this.first(
      this.orders(node).map(([variance, e]) => () => {
        const eps = this.constant(e);
        return eps === undefined ? undefined : { variance, eps };
      }),
    );
  }

  /** x − mean(x). */
  private centred(v: Value): Mean | undefined {
    const node = this.made.get(v);
    if (node?.op !== "sub") return undefined;
    this.seen.add(node);
    const mean = this.mean(node.inputs[1]!);
    return mean && mean.of === node.inputs[0] ? mean : undefined;
  }

  /** A sum over axes of known size, divided by their count. */
  private mean(v: Value): Mean | undefined {
    const node = this.node(v, "mul", "div");
    if (!node) return undefined;
    const of = (total: Value, share: number | undefined): Mean | undefined => {
      const sum = share === undefined ? undefined : this.node(total, "sum");
      if (!sum) return undefined;
      const over = sum.attrs.over as readonly string[];
      const x = sum.inputs[0]!;
      const sizes = over.map((name) => sizeOf(x.type, name)!);
      if (!sizes.every((n) => typeof n === "number")) return undefined;
      const count = (sizes as number[]).reduce((a, n) => a * n, 1);
      return Math.abs(share! * count - 1) < 1e-6 ? { of: x, over } : undefined;
    };
    if (node.op === "mul")
      return this.first(
        this.orders(node).map(
          ([s, c]) =>
            () =>
              of(s, this.constant(c)),
        ),
      );
    const count = this.constant(node.inputs[1]!);
    return of(node.inputs[0]!, count === undefined ? undefined : 1 / count);
  }

  /** The argument of a square, in its spellings. */
  private squared(v: Value): Value | undefined {
    const node = this.node(v, "square", "mul");
    if (!node || (node.op === "mul" && node.inputs[0] !== node.inputs[1] && !this.sameCentred(node))) return undefined;
    return node.inputs[0];
  }

  /** x − mean(x) written out twice. */
  private sameCentred(node: Node): boolean {
    const [a, b] = [this.centred(node.inputs[0]!), this.centred(node.inputs[1]!)];
    return a !== undefined && b !== undefined && a.of === b.of && sameAxes(a.over, b.over);
  }

  /** The biased variance of what `centre` is the mean of: E[(x − m)²], or E[x²] − m². */
  private isVariance(v: Value, centre: Mean): boolean {
    const same = (mean: Mean | undefined) => mean !== undefined && mean.of === centre.of && sameAxes(mean.over, centre.over);
    const twoPass = () => {
      const mean = this.mean(v);
      const inner = mean && sameAxes(mean.over, centre.over) ? this.squared(mean.of) : undefined;
      return inner && same(this.centred(inner)) ? true : undefined;
    };
    const difference = () => {
      const node = this.node(v, "sub");
      if (!node) return undefined;
      const squares = this.mean(node.inputs[0]!);
      if (!squares || !sameAxes(squares.over, centre.over) || this.squared(squares.of) !== centre.of) return undefined;
      const square = this.squared(node.inputs[1]!);
      return square && same(this.mean(square)) ? true : undefined;
    };
    return this.first([twoPass, difference]) === true;
  }
}
