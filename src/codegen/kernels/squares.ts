/** squares: the sum of squares of several buffers, in parts. */
import { numel } from "../../ir/types.js";
import type { Requirement } from "../../program/program.js";
import { Words } from "../emitter.js";
import { byFour } from "../fours.js";
import { quotient } from "../index-math.js";
import { type Family, fnText, kernelText, type LoweredVariant } from "../kernel.js";

interface Form {
  readonly name: string;
  readonly threads: number;
  readonly requires: Requirement;
  /** Loads of a thread that wait for none before them. */
  readonly inFlight: number;
}

const naive: Form = { name: "naive", threads: 1, requires: {}, inFlight: 1 };
/** On a CPU that stands in for a GPU: one load after the other is as its memory likes it, and a barrier costs as much as there are threads. */
const group: Form = { name: "group", threads: 64, requires: {}, inFlight: 1 };
/**
 * On a GPU: parts are few, because one thread adds them up in the end, so all threads that every device allows make one, and each has
 * several loads on the way. 128 parts of 64 threads with one load each left nine tenths of an NVIDIA H200's memory idle.
 */
const wide: Form = { name: "group-256", threads: 256, requires: { hardware: true }, inFlight: 8 };

/** Steps of a thread whose terms are added up before they come to the rest. */
const STRIP = 64;

export const squares: Family = {
  name: "squares",
  doc: "Sums of squares of whole buffers: a workgroup a part, in fixed order.",
  lower: (region, options) => {
    const op = region.body.nodes.find((n) => n.op === "sum_of_squares");
    if (region.kind !== "op" || !op) return undefined;
    const words = new Words();
    const parts = op.attrs.parts as number;
    // Of the operands, those that are squared; a sum that goes on, which is where the result goes; and sums that others have made.
    const before = region.params.indexOf(region.results[0]!);
    const operands = region.body.params.flatMap(({ value }, i) =>
      i === before ? [] : [{ size: numel(value.type), binding: region.params[i]!, squared: op.inputs.includes(value) }],
    );
    const fours = !options.safe && operands.every(({ size }) => byFour(size));
    const counts = operands.map(({ size }, i) => words.named(`N${i}`, fours ? quotient(size, 4)! : size));
    const variant = ({ name, threads, requires, inFlight }: Form): LoweredVariant => {
      const loops = operands.flatMap(({ binding, squared }, i) => {
        const term = (x: string): string => {
          if (fours) return squared ? `dot(${x}, ${x})` : `dot(${x}, vec4f(1.0))`;
          return squared ? `${x} * ${x}` : x;
        };
        return inFlight === 1 ? plainLoop(binding, counts[i]!, term) : loopAhead(binding, counts[i]!, term, inFlight);
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
      return { name, requires, workgroupSize: threads, tile: [1], text };
    };
    const forms = options.safe ? [naive] : options.variants ? [wide, group] : [group];
    return { family: "squares", words, extent: [parts], variants: forms.map(variant) };
  },
};

/** Through a buffer in strips, whose sums are added up one after the other. */
const strips = (count: string, strip: readonly string[]): string[] => [
  `for (var start = first; start < ${count}; start += ${STRIP}u * step) {`,
  `  let end = min(start + ${STRIP}u * step, ${count});`,
  ...strip.map((line) => `  ${line}`),
  "}",
];

const plainLoop = (binding: number, count: string, term: (x: string) => string): string[] =>
  strips(count, [
    "var strip = 0.0;",
    "for (var i = start; i < end; i += step) {",
    `  let x = b${binding}[i];`,
    `  strip += ${term("x")};`,
    "}",
    "total += strip;",
  ]);

/** So many terms at a time, each to a sum of its own; where there are fewer left, the last one is loaded in their place, and does not count. */
function loopAhead(binding: number, count: string, term: (x: string) => string, inFlight: number): string[] {
  const each = (text: (k: number, at: string) => string): string[] =>
    Array.from({ length: inFlight }, (_, k) => text(k, k === 0 ? "i" : `i + ${k}u * step`));
  return strips(count, [
    ...each((k) => `var s${k} = 0.0;`),
    `for (var i = start; i < end; i += ${inFlight}u * step) {`,
    ...each((k, at) => `  let x${k} = b${binding}[min(${at}, end - 1u)];`),
    ...each((k, at) => `  s${k} += select(0.0, ${term(`x${k}`)}, ${at} < end);`),
    "}",
    `total += ${added(each((k) => `s${k}`))};`,
  ]);
}

/** By halves, so that none waits for all before it. */
const added = (sums: readonly string[]): string =>
  sums.length === 1 ? sums[0]! : `(${added(sums.slice(0, sums.length / 2))} + ${added(sums.slice(sums.length / 2))})`;
