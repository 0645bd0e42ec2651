/**
 * The curve of a training run: the loss large, and below it what else was recorded: gradient norm, the parts of the loss, learning rate.
 * One layout, put down as PNG for the run's folder and as SVG for its page.
 */
import { legend, panel } from "../chart/chart.js";
import type { Drawing, Shape } from "../chart/drawing.js";
import { drawingPng } from "../chart/png.js";
import type { Series } from "../chart/series.js";
import { drawingSvg } from "../chart/svg.js";

/** What a curve takes from a record of a run; null where a number was not finite. Records are in the order of their steps. */
export interface CurveRecord {
  readonly step: number;
  readonly loss: number | null;
  readonly mse?: number | null;
  readonly vb?: number | null;
  readonly gradientNorm?: number | null;
  readonly learningRate?: number | null;
}

export interface CurveOptions {
  /** Pixels. Default 900 × 500. */
  readonly width?: number;
  readonly height?: number;
  /** Of the large panel. Default: loss. */
  readonly title?: string;
}

const small = [
  ["gradientNorm", "gradient norm"],
  ["mse", "mse"],
  ["vb", "vb"],
  ["learningRate", "learning rate"],
] as const;
const FONT = 12;
/** Room for tick labels left of a plot, and for the last label's half at the right. */
const LEFT = 56;
const RIGHT = 20;
/** A title above a plot, and tick labels below it. */
const ABOVE = 28;
const BELOW = 24;

/** The curve as PNG, RGB on white: raw values light, their moving mean dark, a gap and a red mark where a value was not finite. */
export const curvePng = (records: readonly CurveRecord[], options: CurveOptions = {}): Uint8Array =>
  drawingPng(layout(records, options));

/** The same as an SVG element for a page, in its colours. */
export function curveSvg(records: readonly CurveRecord[], options: CurveOptions = {}): string {
  const read = records.filter(({ loss }) => finite(loss));
  const said =
    read.length === 0
      ? "no finite loss yet"
      : `${short(read[0]!.loss!)} at step ${read[0]!.step}, ${short(read.at(-1)!.loss!)} at step ${read.at(-1)!.step}`;
  return drawingSvg(layout(records, options), `loss by step: ${said}`);
}

function layout(records: readonly CurveRecord[], { width = 900, height = 500, title = "loss" }: CurveOptions): Drawing {
  // The first few steps leave room for more: half a step is no place on an axis.
  const lastStep = Math.max(10, records.at(-1)?.step ?? 0);
  const series = (key: keyof CurveRecord): Series => {
    // Records of a kind that began later, or that some step lacks, are no gaps.
    const kept = records.filter((record) => record[key] !== undefined);
    return { steps: kept.map(({ step }) => step), values: kept.map((record) => (finite(record[key]) ? record[key] : null)) };
  };
  const loss = series("loss");
  const below = small.filter(([key]) => worthDrawing(records, key)).slice(0, 4);
  const lower = below.length === 0 ? 0 : Math.round(0.3 * height);
  const right = width - RIGHT;
  const top = ABOVE + 6;
  const box = { left: LEFT, top, right, bottom: height - lower - BELOW - 18 };
  const shapes: Shape[] = [
    ...panel(loss, box, { title, lastStep, fontSize: FONT, axisTitle: "step" }),
    ...legend(loss, right, top - 0.9 * FONT, FONT),
  ];
  below.forEach(([key, words], i) => {
    const share = width / below.length;
    shapes.push(
      ...panel(
        series(key),
        { left: i * share + LEFT, top: height - lower + ABOVE, right: (i + 1) * share - RIGHT, bottom: height - BELOW },
        { title: words, lastStep, fontSize: FONT - 1, linear: key === "learningRate" },
      ),
    );
  });
  return { width, height, shapes };
}

/** An mse that is the whole loss, and a rate that never changes, say nothing of their own. */
function worthDrawing(records: readonly CurveRecord[], key: (typeof small)[number][0]): boolean {
  if (!records.some((record) => finite(record[key]))) return false;
  if (key === "mse") return records.some(({ mse, loss }) => mse !== undefined && mse !== loss);
  if (key === "learningRate") return records.some(({ learningRate }) => learningRate !== records[0]!.learningRate);
  return true;
}

const finite = (x: number | null | undefined): x is number => Number.isFinite(x);
const short = (x: number): string => String(Number(x.toPrecision(3)));
