/**
 * raise-attention — softmax(scale · q·k) · v, found in the primitives of whatever spelling.
 *
 *   %s = dot(%q, %k); … max, sub, exp, sum, div …; %o = dot(%p, %v)   ⇒   %o, %lse = attention(%q, %k, %v) {over=[width], key=[key], scale=0.125}
 *
 * The scale may stand before the product or after, on q or on k, as a factor or a divisor; the softmax may take off the largest score or
 * not, divide, multiply by the reciprocal, or be normalised after the second product; operands may be swapped and turned. How q, k and v
 * were made (one projection or three, heads split by any route) does not matter. What is anything else (a mask, a scale that is no
 * constant, a softmax over other axes, a second reader of the scores) stays as it is.
 */
import { Builder } from "../ir/builder.js";
import type { Fn, Node, Value } from "../ir/graph.js";
import { producers } from "../ir/graph.js";
import { attention } from "../ir/ops/attention.js";
import { opRow } from "../ir/ops/index.js";
import { transpose } from "../ir/ops/shape.js";
import { mapFns, type Pass } from "./pass.js";
import { Pattern, sameAxes, wholeness } from "./pattern.js";

export const raiseAttention: Pass = {
  name: "raise-attention",
  doc: "Find attention in primitives, in any spelling: softmax(scale · q·k) · v becomes attention, whose scores are never stored.",
  run: (module, { fused = true, attention = true }) =>
    fused && attention && module.stage !== "kernel" ? mapFns(module, raised) : module,
};

interface Attention {
  readonly q: Value;
  readonly k: Value;
  readonly v: Value;
  readonly over: readonly string[];
  readonly key: readonly string[];
  readonly scale: number;
}

function raised(fn: Fn): Fn {
  const made = producers(fn);
  const whole = wholeness(fn);
  const raise = new Map<Node, Attention>();
  for (const node of fn.nodes) {
    const pattern = new AttentionPattern(made);
    const found = pattern.attention(node);
    if (found && whole(node, pattern.seen)) raise.set(node, found);
  }
  if (raise.size === 0) return fn;
  const out: Node[] = [];
  const replaced = new Map<Value, Value>();
  const now = (v: Value): Value => replaced.get(v) ?? v;
  for (const node of fn.nodes) {
    const found = raise.get(node);
    if (!found) {
      out.push({ ...node, inputs: node.inputs.map(now) });
      continue;
    }
    const b = new Builder();
    b.loc = node.loc;
    const { over, key, scale } = found;
    const wanted = node.outputs[0]!;
    let o = attention(b, now(found.q), now(found.k), now(found.v), { over, key, scale });
    if (!o.type.axes.every((a, i) => a === wanted.type.axes[i])) o = transpose(b, o, { axes: wanted.type.axes });
    if (wanted.name) b.hint(o, wanted.name);
    out.push(...b.finish("", []).nodes);
    replaced.set(wanted, o);
  }
  return { ...fn, nodes: out, results: fn.results.map((r) => ({ ...r, value: now(r.value) })) };
}

interface Scores {
  readonly q: Value;
  readonly k: Value;
  readonly over: readonly string[];
  readonly scale: number;
}

class AttentionPattern extends Pattern {
  attention(node: Node): Attention | undefined {
    if (node.op === "dot") return this.product(node, node, (p, key) => this.probabilities(p, key));
    // Normalised at the end: dot(e, v) / Σ e.
    const ends = node.op === "div" || node.op === "mul";
    if (!ends) return undefined;
    return this.first(
      (node.op === "div" ? [[node.inputs[0]!, node.inputs[1]!] as const] : this.orders(node)).map(([x, d]) => () => {
        const dot = this.node(x, "dot");
        if (!dot) return undefined;
        return this.product(dot, node, (p, key) => {
          const e = this.node(p, "exp");
          return e && this.isTotal(d, e, key, node.op === "mul") ? this.exponent(e, key) : undefined;
        });
      }),
    );
  }

  /** dot(weights, v) over the keys, in either order of operands. `last` ends the pattern: repeated inside, it has more axes than attention. */
  private product(
    dot: Node,
    last: Node,
    weights: (p: Value, key: readonly string[]) => Scores | undefined,
  ): Attention | undefined {
    const key = dot.attrs.over as readonly string[];
    return this.first(
      this.orders(dot).map(([p, v]) => () => {
        const scores = weights(p, key);
        if (!scores) return undefined;
        const found = { ...scores, v, key };
        const { over, scale } = found;
        const types = opRow("attention").infer([found.q.type, found.k.type, v.type], { over, key, scale } as never);
        if (typeof types === "string") return undefined;
        const [o] = "dtype" in types ? [types] : types;
        return sameAxes(o!.axes, last.outputs[0]!.type.axes) ? found : undefined;
      }),
    );
  }

  /** e / Σ e, or e · (1 / Σ e). */
  private probabilities(p: Value, key: readonly string[]): Scores | undefined {
    const node = this.node(p, "div", "mul");
    if (!node) return undefined;
    const sides = node.op === "div" ? [[node.inputs[0]!, node.inputs[1]!] as const] : this.orders(node);
    return this.first(
      sides.map(([x, d]) => () => {
        const e = this.node(x, "exp");
        return e && this.isTotal(d, e, key, node.op === "mul") ? this.exponent(e, key) : undefined;
      }),
    );
  }

  /** Whether `v` is the sum of e over the keys, or its reciprocal. */
  private isTotal(v: Value, e: Node, key: readonly string[], inverse: boolean): boolean {
    let total = v;
    if (inverse) {
      const node = this.node(v, "reciprocal", "div");
      if (!node || (node.op === "div" && this.constant(node.inputs[0]!) !== 1)) return false;
      total = node.inputs.at(-1)!;
    }
    const sum = this.node(total, "sum");
    if (!sum || !sameAxes(sum.attrs.over as readonly string[], key)) return false;
    return this.behind(sum.inputs[0]!) === e.outputs[0];
  }

  /** The scores under exp, with or without their largest taken off. */
  private exponent(e: Node, key: readonly string[]): Scores | undefined {
    const whole = e.inputs[0]!;
    const lessPeak = () => {
      const node = this.node(whole, "sub");
      if (!node) return undefined;
      const peak = this.node(node.inputs[1]!, "stop_gradient", "max");
      const max = peak?.op === "stop_gradient" ? this.node(peak.inputs[0]!, "max") : peak;
      if (!max || !sameAxes(max.attrs.over as readonly string[], key)) return undefined;
      return this.behind(max.inputs[0]!) === this.behind(node.inputs[0]!) ? this.scores(node.inputs[0]!, key) : undefined;
    };
    return this.first([lessPeak, () => this.scores(whole, key)]);
  }

  /** dot(q, k), scaled anywhere. */
  private scores(v: Value, key: readonly string[]): Scores | undefined {
    const node = this.node(v, "dot", "mul", "div");
    if (!node) return undefined;
    if (node.op === "dot") {
      const [x, y] = [node.inputs[0]!, node.inputs[1]!];
      const hasKeys = (side: Value) => key.every((a) => side.type.axes.includes(a));
      if (hasKeys(x) === hasKeys(y)) return undefined;
      const [q, k] = hasKeys(y) ? [x, y] : [y, x];
      const [a, b] = [this.unscaled(q), this.unscaled(k)];
      return { q: a.value, k: b.value, over: node.attrs.over as readonly string[], scale: a.scale * b.scale };
    }
    const sides = node.op === "div" ? [[node.inputs[0]!, node.inputs[1]!] as const] : this.orders(node);
    return this.first(
      sides.map(([s, c]) => () => {
        const factor = this.constant(c);
        const inner = factor === undefined ? undefined : this.scores(s, key);
        return inner && { ...inner, scale: node.op === "div" ? inner.scale / factor! : inner.scale * factor! };
      }),
    );
  }

  /** An operand without the constants that it is multiplied with. Their nodes are not part of the pattern: others may read them. */
  private unscaled(v: Value): { readonly value: Value; readonly scale: number } {
    const node = this.maker(v);
    if (node?.op !== "mul" && node?.op !== "div") return { value: v, scale: 1 };
    for (const [x, c] of node.op === "div" ? [[node.inputs[0]!, node.inputs[1]!] as const] : this.orders(node)) {
      const constant = new Pattern(this.made).constant(c);
      if (constant === undefined) continue;
      const inner = this.unscaled(x);
      return { value: inner.value, scale: node.op === "div" ? inner.scale / constant : inner.scale * constant };
    }
    return { value: v, scale: 1 };
  }
}
