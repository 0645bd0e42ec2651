/**
 * cse — compute the same thing once.
 *
 *   %a = exp(%x); %b = exp(%x); %c = add(%a, %b)   ⇒   %a = exp(%x); %c = add(%a, %a)
 *
 * Every op is a pure function of operands and attributes. So is `draw`: its name is an attribute, and two draws of one name and one
 * counter are the same numbers by definition, while two names never merge.
 */
import type { Node, Value } from "../ir/graph.js";
import { hasGradients } from "../ir/region.js";
import { attrsKey } from "../ir/same.js";
import { mapFns, type Pass, rewrite } from "./pass.js";

/** Operand order does not matter, to the last bit. */
const commutative = ["add", "mul", "eq", "and", "or"];

export const cse: Pass = {
  name: "cse",
  doc: "Merge nodes with the same op, operands and attributes.",
  run: (module) =>
    mapFns(module, (fn) => {
      if (hasGradients(fn)) return fn;
      const ids = new Map<Value, number>();
      const id = (v: Value): number => {
        if (!ids.has(v)) ids.set(v, ids.size);
        return ids.get(v)!;
      };
      const seen = new Map<string, readonly Value[]>();
      return rewrite(fn, (node: Node) => {
        const operands = node.inputs.map(id);
        if (commutative.includes(node.op)) operands.sort((a, b) => a - b);
        const key = `${node.op}(${operands.join(", ")}) {${attrsKey(node)}}`;
        const known = seen.get(key);
        if (!known) seen.set(key, node.outputs);
        return known;
      });
    }),
};
