/** squares: the sum of squares of several buffers, in parts. */
import { numel } from "../../ir/types.js";
import { Words } from "../emitter.js";
import { byFour } from "../fours.js";
import { quotient } from "../index-math.js";
import { type Family, fnText, kernelText } from "../kernel.js";

const THREADS = 64;

export const squares: Family = {
  name: "squares",
  doc: "Sums of squares of whole buffers: a workgroup a part, in fixed order.",
  lower: (region, options) => {
    const op = region.body.nodes.find((n) => n.op === "sum_of_squares");
    if (region.kind !== "op" || !op) return undefined;
    const words = new Words();
    const parts = op.attrs.parts as number;
    const threads = options.safe ? 1 : THREADS;
    // Of the operands, those that are squared; a sum that goes on, which is where the result goes; and sums that others have made.
    const before = region.params.indexOf(region.results[0]!);
    const operands = region.body.params.flatMap(({ value }, i) =>
      i === before ? [] : [{ size: numel(value.type), binding: region.params[i]!, squared: op.inputs.includes(value) }],
    );
    const fours = !options.safe && operands.every(({ size }) => byFour(size));
    const loops = operands.flatMap(({ size, binding, squared }, i) => {
      const count = words.named(`N${i}`, fours ? quotient(size, 4)! : size);
      const term = squared ? (fours ? "dot(x, x)" : "x * x") : fours ? "dot(x, vec4f(1.0))" : "x";
      return [
        `for (var start = first; start < ${count}; start += 64u * step) {`,
        "  var strip = 0.0;",
        `  for (var i = start; i < min(start + 64u * step, ${count}); i += step) {`,
        `    let x = b${binding}[i];`,
        `    strip += ${term};`,
        "  }",
        "  total += strip;",
        "}",
      ];
    });
    const text = kernelText({
      title: `squares of ${op.inputs.length} buffers`,
      bindings: region.bindings,
      vec4: fours ? operands.map((x) => x.binding) : [],
      words,
      consts: { THREADS: `${threads}u`, PARTS: `${parts}u` },
      sizes: {},
      hooks: [
        fnText("squares(first: u32, step: u32) -> f32", ["var total = 0.0;", ...loops, "return total;"]),
        fnText("store(part: u32, value: f32)", [`b${region.results[0]}[part] ${before < 0 ? "=" : "+="} value;`]),
      ].join("\n"),
      file: "./kernels/squares.wgsl",
    });
    return {
      family: "squares",
      words,
      extent: [parts],
      variants: [{ name: options.safe ? "naive" : "group", requires: {}, workgroupSize: threads, tile: [1], text }],
    };
  },
};
