/** fold and fold-group: the naive kernels of reductions and dots. */

import { InternalError } from "../../diagnostics/diagnostic.js";
import { literal } from "../../ir/ops/literal.js";
import { evaluate, product } from "../../program/size.js";
import { type FoldLoops, finishLines, foldLoops } from "../fold-loops.js";
import { coefficient } from "../index-math.js";
import { type Family, fnText, kernelText, type Lowered } from "../kernel.js";
import { decode, type Region } from "../region.js";
import { describe } from "./map.js";

const WORKGROUP = 64;

/** Few results of many terms: then a workgroup folds each. */
const few = (results: number, terms: number): boolean => results < 256 && terms >= 256;

function lowerFold(region: Region, group: boolean): Lowered {
  const fold = foldLoops(region);
  const { outer, inner, operands, lines, words, anchor } = fold;
  if (fold.squares) throw new InternalError(`region ${region.body.name} was asked for squares beside what no product makes`);
  const elements = product(outer.map((l) => l.range));
  const terms = product(inner.map((l) => l.range));
  const dtype = anchor.outputs[0]!.type.dtype;
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
  const inside = decode(inner, "k", words.size, (name, text) => `let ${name} = ${text};`);
  const loops = outer.map((l) => l.name);
  const finish = fold.finish(words);
  const hooks = [
    outer.map((l) => `var<private> ${l.name}: u32;\n`).join(""),
    fnText(
      "locate(i: u32)",
      decode(outer, "i", words.size, (name, text) => `${name} = ${text};`),
    ),
    fnText(`term(k: u32) -> ${dtype}`, [...inside, ...lines, `return ${y === undefined ? x : `${x} * ${y}`};`]),
    fnText(`combine(a: ${dtype}, b: ${dtype}) -> ${dtype}`, [`return ${larger ? "max(a, b)" : "a + b"};`]),
    finish.text,
    fnText(`store(i: u32, value: ${dtype})`, [
      ...finishLines(finish, loops, "i", "value"),
      ...sumLines(fold, sizes.TERMS, inside),
    ]),
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

/** Sums that ride on the dot: taken where the other operand's loops begin, once for each place of the operand's own. */
function sumLines(fold: FoldLoops, terms: string, inside: readonly string[]): string[] {
  return fold.sums.flatMap(({ operand, binding }) => {
    const own = fold.outer.filter((l) => fold.accesses[operand]!.some((a) => coefficient(a, l.name) !== 0));
    const others = fold.outer.filter((l) => !own.includes(l));
    const at = own.reduce((index, l) => (index === "" ? l.name : `(${index}) * ${fold.words.size(l.range)} + ${l.name}`), "");
    return [
      `if (${others.map((l) => `${l.name} == 0u`).join(" && ") || "true"}) {`,
      "  var total = 0.0;",
      `  for (var start = 0u; start < ${terms}; start += 64u) {`,
      "    var block = 0.0;",
      `    for (var k = start; k < min(start + 64u, ${terms}); k++) {`,
      ...[...inside, ...fold.lines, `block += ${fold.operands[operand]};`].map((l) => `      ${l}`),
      "    }",
      "    total += block;",
      "  }",
      `  b${binding}[${at || "0u"}] = total;`,
      "}",
    ];
  });
}

export const foldGroup: Family = {
  name: "fold-group",
  doc: "Reductions and dots with few results of many terms: one workgroup per result.",
  lower: (region, options) => {
    if (options.safe || (region.kind !== "reduce" && region.kind !== "dot")) return undefined;
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
