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
    const sizes = region.body.params.map((p) => numel(p.value.type));
    const fours = !options.safe && sizes.every(byFour);
    const loops = region.body.params.flatMap((_, i) => {
      const count = words.named(`N${i}`, fours ? quotient(sizes[i]!, 4)! : sizes[i]!);
      return [
        `for (var start = first; start < ${count}; start += 64u * step) {`,
        "  var strip = 0.0;",
        `  for (var i = start; i < min(start + 64u * step, ${count}); i += step) {`,
        `    let x = b${region.params[i]}[i];`,
        `    strip += ${fours ? "dot(x, x)" : "x * x"};`,
        "  }",
        "  total += strip;",
        "}",
      ];
    });
    const text = kernelText({
      title: `squares of ${region.body.params.length} buffers`,
      bindings: region.bindings,
      vec4: fours ? region.params : [],
      words,
      consts: { THREADS: `${threads}u`, PARTS: `${parts}u` },
      sizes: {},
      hooks: [
        fnText("squares(first: u32, step: u32) -> f32", ["var total = 0.0;", ...loops, "return total;"]),
        fnText("store(part: u32, value: f32)", [`b${region.results[0]}[part] = value;`]),
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
