/**
 * A panel of a chart: a frame, round ticks, a light line through all values, a dark one through their moving mean, and a red cross at the
 * upper edge wherever a value was not finite.
 */
import type { Role, Shape } from "./drawing.js";
import { linearScale, type Scale, scaleFor } from "./scale.js";
import { gapsOf, reachOf, runsOf, type Series, smooth } from "./series.js";

/** The plot itself, in pixels; ticks, labels and title stand outside of it. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

export interface PanelOptions {
  readonly title: string;
  /** The last step of the axis, 10 at least; all panels of a chart share it. */
  readonly lastStep: number;
  readonly fontSize: number;
  /** Under the axis of steps. */
  readonly axisTitle?: string;
  /** Never a log axis. */
  readonly linear?: boolean;
}

/** Fewer values than this are drawn as they are. */
const ENOUGH_TO_SMOOTH = 50;

export const isSmoothed = ({ values }: Series): boolean => values.length >= ENOUGH_TO_SMOOTH;

export function panel(series: Series, box: Box, { title, lastStep, fontSize, axisTitle, linear = false }: PanelOptions): Shape[] {
  const [width, height] = [box.right - box.left, box.bottom - box.top];
  const ends = endsOf(series);
  const across = linearScale(0, lastStep, Math.max(2, Math.round(width / 90)));
  const up = ends && scaleFor(...ends, Math.max(2, Math.round(height / 45)), linear);
  const x = (step: number) => box.left + across.at(step) * width;
  const y = (value: number) => box.bottom - up!.at(value) * height;

  const shapes = [...frame(box, across, up, fontSize)];
  shapes.push(text("title", box.left, box.top - 0.9 * fontSize, title + (up?.log ? " (log)" : ""), "start", fontSize + 1));
  if (axisTitle) shapes.push(text("label", box.left + width / 2, box.bottom + 3 * fontSize, axisTitle, "middle", fontSize));
  const draw = (role: Role, values: Series["values"]) => {
    for (const run of runsOf({ ...series, values }, x)) {
      const points = run.flatMap((i) => [x(series.steps[i]!), y(values[i]!)]);
      shapes.push(
        points.length === 2 ? { kind: "dot", role, x: points[0]!, y: points[1]!, radius: 2.5 } : { kind: "line", role, points },
      );
    }
  };
  if (isSmoothed(series)) {
    draw("raw", series.values);
    draw("smooth", smooth(series.values));
  } else {
    draw("smooth", series.values);
  }
  for (const step of gapsOf(series, x)) shapes.push(...cross(x(step), box.top + 6));
  return shapes;
}

/** The least and the greatest value, if any is finite. */
function endsOf({ values }: Series): [number, number] | undefined {
  let ends: [number, number] | undefined;
  for (const value of values) {
    if (value === null) continue;
    ends ??= [value, value];
    if (value < ends[0]) ends[0] = value;
    if (value > ends[1]) ends[1] = value;
  }
  return ends;
}

/** What the lines of a chart mean, ending at a right edge on a baseline. */
export function legend(series: Series, right: number, baseline: number, fontSize: number): Shape[] {
  const entries: [Role, string][] = isSmoothed(series)
    ? [
        ["raw", "as read"],
        ["smooth", `mean of ${2 * reachOf(series.values.length) + 1}`],
      ]
    : [];
  if (series.values.includes(null)) entries.push(["bad", "not finite"]);
  const shapes: Shape[] = [];
  let end = right;
  for (const [role, words] of entries.reverse()) {
    shapes.push(text("label", end, baseline, words, "end", fontSize));
    const swatch = end - words.length * 0.58 * fontSize - 8;
    const y = baseline - 0.33 * fontSize;
    if (role === "bad") shapes.push(...cross(swatch - 4, y));
    else shapes.push({ kind: "line", role, points: [swatch - 20, y, swatch, y] });
    end = swatch - 38;
  }
  return shapes;
}

function frame(box: Box, across: Scale, up: Scale | undefined, fontSize: number): Shape[] {
  const { left, right, top, bottom } = box;
  const shapes: Shape[] = [];
  for (const { value, label } of across.ticks) {
    const x = crisp(left + across.at(value) * (right - left));
    shapes.push({ kind: "line", role: "grid", points: [x, top, x, bottom] });
    shapes.push({ kind: "line", role: "axis", points: [x, crisp(bottom), x, crisp(bottom) + 4] });
    shapes.push(text("label", x, bottom + 6 + fontSize, label, "middle", fontSize));
  }
  for (const { value, label } of up?.ticks ?? []) {
    const y = crisp(bottom - up!.at(value) * (bottom - top));
    shapes.push({ kind: "line", role: "grid", points: [left, y, right, y] });
    shapes.push(text("label", left - 7, y + 0.36 * fontSize, label, "end", fontSize));
  }
  const [x, y] = [crisp(left), crisp(bottom)];
  shapes.push({ kind: "line", role: "axis", points: [x, top, x, y, right, y] });
  return shapes;
}

function cross(x: number, y: number): Shape[] {
  const r = 3.5;
  return [
    { kind: "line", role: "bad", points: [x - r, y - r, x + r, y + r] },
    { kind: "line", role: "bad", points: [x - r, y + r, x + r, y - r] },
  ];
}

/** A line of one pixel is sharp when it runs through the middle of pixels. */
const crisp = (at: number): number => Math.floor(at) + 0.5;

const text = (role: Role, x: number, y: number, words: string, anchor: "start" | "middle" | "end", size: number): Shape => {
  return { kind: "text", role, x, y, text: words, anchor, size };
};
