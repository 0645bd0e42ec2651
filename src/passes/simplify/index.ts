/**
 * simplify — local rewrites that make a graph smaller and leave its numbers alone.
 *
 *   %o = fill() {value=1, …}; %y = mul(%x, %o); return out=%y   ⇒   %o = …; return out=%x
 *
 * The rules are two tables of named entries, each a few lines: a node and what stands before it, to the value that takes its place.
 * No rule reassociates floats; x · 0 stays, because x may be NaN; only the sign of a zero may change (0 + x is x). What a rule leaves
 * unread is dce's to drop.
 */
import type { Fn } from "../../ir/graph.js";
import { hasGradients } from "../../ir/region.js";
import { mapFns, type Pass, type PassOptions, rewrite } from "../pass.js";
import { arithmeticRules } from "./arithmetic.js";
import { Rewriter, type Rule } from "./rule.js";
import { shapeRules } from "./shape.js";

export const rules: readonly Rule[] = [...arithmeticRules, ...shapeRules];

export const simplify: Pass = {
  name: "simplify",
  doc: "Local rewrites: neutral elements, cancellations, constants, views of views.",
  // Kernels are final: a rule could take the anchor out of a region's body.
  run: (module, options) =>
    module.stage === "kernel" ? module : mapFns(module, (fn) => (hasGradients(fn) ? fn : settle(fn, options))),
};

/** Until no rule applies; each one takes a node away or brings it nearer to its operands, so this ends. */
function settle(fn: Fn, options: PassOptions): Fn {
  for (let before = fn; ; ) {
    const after = once(before, options);
    if (after === before) return after;
    before = after;
  }
}

function once(fn: Fn, options: PassOptions): Fn {
  const rewriter = new Rewriter(options);
  return rewrite(fn, (node, out) => {
    rewriter.begin(node, out);
    for (const rule of rules) {
      const value = !rule.ops || rule.ops.includes(node.op) ? rule.apply(rewriter, node) : undefined;
      if (value) return [value];
    }
    rewriter.keep(node);
    return undefined;
  });
}
