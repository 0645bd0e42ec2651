/** fold and fold-group: the naive kernels of reductions and dots. */

import { literal } from "../../ir/ops/literal.js";
import { evaluate, product } from "../../program/size.js";
import { toStored } from "../emitter.js";
import { type Family, fnText, kernelText, type Lowered } from "../kernel.js";
import { decode, foldLoops, type Region } from "../region.js";
import { describe } from "./map.js";

const WORKGROUP = 64;

/** Few results of many terms: then a workgroup folds each. */
const few = (results: number, terms: number): boolean => results < 256 && terms >= 256;

function lowerFold(region: Region, group: boolean): Lowered {
  const { outer, inner, operands, lines, words, anchor } = foldLoops(region);
  const elements = product(outer.map((l) => l.range));
  const terms = product(inner.map((l) => l.range));
  const dtype = region.body.results[0]!.value.type.dtype;
  const larger = anchor.op === "max";
  const identity = larger
    ? dtype === "f32"
      ? "-3.4028234663852886e38f"
      : dtype === "i32"
        ? "i32(-2147483647 - 1)"
        : "0u"
    : literal(0, dtype);
  const [x, y] = operands;
  const sizes = { ELEMENTS: words.named("elements", elements), TERMS: words.named("terms", terms) };
  const hooks = [
    outer.map((l) => `var<private> ${l.name}: u32;\n`).join(""),
    fnText(
      "locate(i: u32)",
      decode(outer, "i", words.size, (name, text) => `${name} = ${text};`),
    ),
    fnText(`term(k: u32) -> ${dtype}`, [
      ...decode(inner, "k", words.size, (name, text) => `let ${name} = ${text};`),
      ...lines,
      `return ${y === undefined ? x : `${x} * ${y}`};`,
    ]),
    fnText(`combine(a: ${dtype}, b: ${dtype}) -> ${dtype}`, [`return ${larger ? "max(a, b)" : "a + b"};`]),
    fnText(`store(i: u32, value: ${dtype})`, [`b${region.results[0]}[i] = ${toStored("value", dtype)};`]),
  ].join("\n");
  const family = group ? "fold-group" : "fold";
  const text = kernelText({
    title: `${family}: ${describe(region.body.nodes.map((n) => n.op))}`,
    bindings: region.bindings,
    words,
    consts: { WORKGROUP: `${WORKGROUP}u`, IDENTITY: identity },
    sizes,
    hooks: `alias Scalar = ${dtype};\n\n${hooks}`,
    file: `./kernels/${family}.wgsl`,
  });
  return {
    family,
    words,
    extent: [elements],
    variants: [{ name: "naive", requires: {}, workgroupSize: WORKGROUP, tile: [group ? 1 : WORKGROUP], text }],
  };
}

export const foldGroup: Family = {
  name: "fold-group",
  doc: "Reductions and dots with few results of many terms: one workgroup per result.",
  lower: (region) => {
    if (region.kind !== "reduce" && region.kind !== "dot") return undefined;
    const { outer, inner } = foldLoops(region);
    const at = (ranges: typeof outer) => evaluate(product(ranges.map((l) => l.range)), region.batch);
    return few(at(outer), at(inner)) ? lowerFold(region, true) : undefined;
  },
};

export const fold: Family = {
  name: "fold",
  doc: "Reductions and dots of any shape: one thread per result.",
  lower: (region) => (region.kind === "reduce" || region.kind === "dot" ? lowerFold(region, false) : undefined),
};
