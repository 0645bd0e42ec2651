/**
 * The roofline picture: FLOPs per byte to the right, FLOP/s upwards, both logarithmic. Under the slope memory is the bound, under the flat
 * the arithmetic; how far a kernel's dot lies below the roof is what it leaves unused. Dots are as large as their kernel's part of the time.
 */
import type { Drawing, Shape } from "../chart/drawing.js";
import { type Scale, scaleFor } from "../chart/scale.js";
import { drawingSvg } from "../chart/svg.js";
import type { Profile } from "./profile.js";
import type { Row } from "./work.js";

const [WIDTH, HEIGHT] = [860, 520];
const box = { left: 74, top: 46, right: 600, bottom: 452 } as const;
const FONT = 12;
/** Kernels that the list beside the picture has room for. */
const LISTED = 20;

interface Dot {
  readonly row: Row;
  readonly intensity: number;
  readonly gflopPerSecond: number;
  readonly share: number;
}

/** A profile with a roofline; kernels without arithmetic have no place in the picture. Without times, dots lie on the roof. */
export function rooflineSvg(profile: Profile, title: string): string {
  return drawingSvg(rooflineDrawing(profile, title), title);
}

export function rooflineDrawing({ kernels, total, roofline }: Profile, title: string): Drawing {
  const { flopsPerSecond, bytesPerSecond } = roofline!;
  const whole = total.ms ?? total.leastMs!;
  const dots = kernels
    .map((row): Dot => {
      const ms = row.ms ?? row.leastMs!;
      return { row, intensity: row.flops / row.bytes, gflopPerSecond: row.flops / ms / 1e6, share: ms / whole };
    })
    .filter(({ row }) => row.flops > 0 && row.bytes > 0);
  const roof = flopsPerSecond / 1e9;
  const ridge = flopsPerSecond / bytesPerSecond;
  const [x, y] = [
    spanOf([ridge / 4, ridge * 4, ...dots.map(({ intensity }) => intensity)]),
    spanOf([roof / 10, roof, ...dots.map(({ gflopPerSecond }) => gflopPerSecond)]),
  ];
  const across = scaleFor(x.least, x.most, 8);
  const up = scaleFor(y.least, y.most, 7);
  const at = (intensity: number, rate: number): [number, number] => [
    box.left + across.at(intensity) * (box.right - box.left),
    box.bottom - up.at(rate) * (box.bottom - box.top),
  ];
  // The slope begins where it enters the picture.
  const begin = Math.max(x.least, (y.least * ridge) / roof);
  const shapes: Shape[] = [
    ...frame(across, up),
    { kind: "line", role: "smooth", points: [...at(begin, (begin * roof) / ridge), ...at(ridge, roof), ...at(x.most, roof)] },
    text("title", box.left, 26, title, "start", FONT + 1),
    text("label", (box.left + box.right) / 2, box.bottom + 38, "FLOPs per byte", "middle", FONT),
    text("label", box.left, box.top - 6, "GFLOP/s", "end", FONT),
    text("label", box.right, at(x.most, roof)[1] - 6, `${short(roof)} GFLOP/s`, "end", FONT),
    text("label", box.right, box.bottom - 8, `slope: ${short(bytesPerSecond / 1e9)} GB/s`, "end", FONT),
  ];
  // Large ones first, so that small ones lie on top.
  dots.forEach(({ row, intensity, gflopPerSecond, share }, i) => {
    const [cx, cy] = at(intensity, gflopPerSecond);
    const radius = Number(Math.max(2.5, 16 * Math.sqrt(share)).toFixed(1));
    const listed = i < LISTED;
    shapes.push({ kind: "dot", role: "raw", x: cx, y: cy, radius });
    if (!listed) return;
    const inside = radius >= 8;
    shapes.push(text("title", inside ? cx : cx + radius + 3, cy + 4, String(i + 1), inside ? "middle" : "start", FONT - 2));
    const line = `${i + 1}  ${row.name}  ${Math.round(100 * share)} %`;
    shapes.push(text("label", box.right + 24, box.top + 8 + 20 * i, line, "start", FONT));
  });
  if (dots.length > LISTED) {
    shapes.push(text("label", box.right + 24, box.top + 8 + 20 * LISTED, `and ${dots.length - LISTED} more`, "start", FONT));
  }
  return { width: WIDTH, height: HEIGHT, shapes };
}

function spanOf(values: readonly number[]): { readonly least: number; readonly most: number } {
  return { least: Math.min(...values), most: Math.max(...values) };
}

function frame(across: Scale, up: Scale): Shape[] {
  const { left, right, top, bottom } = box;
  const shapes: Shape[] = [];
  for (const { value, label } of across.ticks) {
    const x = left + across.at(value) * (right - left);
    shapes.push(
      { kind: "line", role: "grid", points: [x, top, x, bottom] },
      text("label", x, bottom + 18, label, "middle", FONT),
    );
  }
  for (const { value, label } of up.ticks) {
    const y = bottom - up.at(value) * (bottom - top);
    shapes.push({ kind: "line", role: "grid", points: [left, y, right, y] }, text("label", left - 7, y + 4, label, "end", FONT));
  }
  return [...shapes, { kind: "line", role: "axis", points: [left, top, left, bottom, right, bottom] }];
}

const short = (n: number): string => String(Number(n.toPrecision(3)));

const text = (
  role: "label" | "title",
  x: number,
  y: number,
  words: string,
  anchor: "start" | "middle" | "end",
  size: number,
): Shape => ({ kind: "text", role, x, y, text: words, anchor, size });
