/**
 * A font of strokes, drawn for this project, so that a PNG can carry labels without any font of the system.
 *
 * Heights: lower-case 5, capitals and digits 7, descenders -2; y points up from the baseline. A stroke is a polyline `x y x y …`, or an
 * arc of an ellipse `@ centre-x centre-y radius-x radius-y from to` in degrees, counter-clockwise.
 */

const CAPITALS = 7;
/** Of the font size, as in most fonts. */
const CAPITAL_SHARE = 0.72;
const BETWEEN = 1.9;

const round = "@1.9 2.5 1.9 2.5 0 360";
const arch = "@1.8 3.1 1.8 1.9 0 180; 3.6 3.1 3.6 0";

/** Width and strokes. */
const glyphs: Readonly<Record<string, readonly [number, string]>> = {
  " ": [1.6, ""],
  "0": [4, "@2 3.5 2 3.5 0 360"],
  "1": [4, "0.6 5.6 2.2 7 2.2 0"],
  "2": [4, "@2 5 2 2 -20 165; 3.88 4.32 0 0 4 0"],
  "3": [4, "@1.9 5.25 1.75 1.75 -90 150; @1.9 1.75 2.1 1.75 -150 90"],
  "4": [4.2, "3.2 0 3.2 7 0 2 4.2 2"],
  "5": [4, "3.7 7 0.6 7 0.3 3.6; @1.9 2.2 2.1 2.2 -150 140"],
  "6": [4, "@2 2.2 2 2.2 0 360; @4 2.2 4 4.8 108 180"],
  "7": [4, "0 7 4 7 1.4 0"],
  "8": [4, "@2 5.3 1.7 1.7 0 360; @2 1.8 2 1.8 0 360"],
  "9": [4, "@2 4.8 2 2.2 0 360; @0 4.8 4 4.8 -72 0"],
  a: [3.8, `${round}; 3.8 5 3.8 0`],
  b: [3.8, `${round}; 0 7 0 0`],
  c: [3.4, "@2 2.5 2 2.5 45 315"],
  d: [3.8, `${round}; 3.8 7 3.8 0`],
  e: [3.9, "0.1 2.6 3.9 2.6; @1.95 2.5 1.95 2.5 3 315"],
  f: [2.4, "0 5 2.4 5; 0.9 0 0.9 5.6; @2.2 5.6 1.3 1.4 90 180"],
  g: [3.8, `${round}; 3.8 5 3.8 -0.4; @1.9 -0.4 1.9 1.7 -150 0`],
  h: [3.6, `0 7 0 0; ${arch}`],
  i: [0, "0 0 0 5; 0 6.8 0 7"],
  j: [0.8, "0.8 5 0.8 -0.8; @-0.2 -0.8 1 1.2 -90 0; 0.8 6.8 0.8 7"],
  k: [3.3, "0 7 0 0; 3.2 5 0 1.9; 1.2 3 3.4 0"],
  l: [0, "0 7 0 0"],
  m: [6, "0 5 0 0; @1.5 3.4 1.5 1.6 0 180; 3 3.4 3 0; @4.5 3.4 1.5 1.6 0 180; 6 3.4 6 0"],
  n: [3.6, `0 5 0 0; ${arch}`],
  o: [3.8, round],
  p: [3.8, `${round}; 0 5 0 -2`],
  q: [3.8, `${round}; 3.8 5 3.8 -2`],
  r: [2.3, "0 5 0 0; @1.7 3.1 1.7 1.9 65 180"],
  s: [3, "@1.5 3.75 1.4 1.25 30 270; @1.5 1.25 1.5 1.25 -150 90"],
  t: [2.4, "0.9 6.6 0.9 1.3; @2.1 1.3 1.2 1.3 180 290; 0 5 2.4 5"],
  u: [3.6, "0 5 0 1.9; @1.8 1.9 1.8 1.9 180 360; 3.6 5 3.6 0"],
  v: [3.6, "0 5 1.8 0 3.6 5"],
  w: [5.6, "0 5 1.4 0 2.8 5 4.2 0 5.6 5"],
  x: [3.4, "0 0 3.4 5; 0 5 3.4 0"],
  y: [3.6, "0 5 1.8 0; 3.6 5 1.1 -2"],
  z: [3.4, "0.1 5 3.3 5 0 0 3.4 0"],
  A: [4.8, "0 0 2.4 7 4.8 0; 0.85 2.4 3.95 2.4"],
  B: [4.2, "2.2 0 0 0 0 7 2 7; @2 5.3 1.7 1.7 -90 90; 0 3.6 2.2 3.6; @2.2 1.8 2 1.8 -90 90"],
  C: [4.8, "@2.6 3.5 2.6 3.5 45 315"],
  D: [4.5, "1.5 0 0 0 0 7 1.5 7; @1.5 3.5 3 3.5 -90 90"],
  E: [3.8, "3.8 7 0 7 0 0 3.8 0; 0 3.7 3.3 3.7"],
  F: [3.6, "3.6 7 0 7 0 0; 0 3.7 3.1 3.7"],
  G: [5.2, "@2.7 3.5 2.7 3.5 45 335; 5.15 2 5.15 3.2 3.2 3.2"],
  H: [4.4, "0 0 0 7; 4.4 0 4.4 7; 0 3.6 4.4 3.6"],
  I: [0, "0 0 0 7"],
  J: [3, "3 7 3 1.8; @1.5 1.8 1.5 1.8 180 360"],
  K: [4.3, "0 0 0 7; 4.1 7 0 2.6; 1.5 4.2 4.3 0"],
  L: [3.6, "0 7 0 0 3.6 0"],
  M: [5.4, "0 0 0 7 2.7 1.5 5.4 7 5.4 0"],
  N: [4.4, "0 0 0 7 4.4 0 4.4 7"],
  O: [5.6, "@2.8 3.5 2.8 3.5 0 360"],
  P: [4.2, "0 0 0 7 2.2 7; @2.2 5.2 2 1.8 -90 90; 0 3.4 2.2 3.4"],
  Q: [5.6, "@2.8 3.5 2.8 3.5 0 360; 3.4 1.6 5.4 -0.4"],
  R: [4.3, "0 0 0 7 2.2 7; @2.2 5.2 2 1.8 -90 90; 0 3.4 2.2 3.4 4.3 0"],
  S: [4.2, "@2.1 5.25 1.9 1.75 30 270; @2.1 1.75 2.1 1.75 -150 90"],
  T: [4.8, "0 7 4.8 7; 2.4 7 2.4 0"],
  U: [4.4, "0 7 0 2.2; @2.2 2.2 2.2 2.2 180 360; 4.4 2.2 4.4 7"],
  V: [4.6, "0 7 2.3 0 4.6 7"],
  W: [6.8, "0 7 1.7 0 3.4 7 5.1 0 6.8 7"],
  X: [4.4, "0 0 4.4 7; 0 7 4.4 0"],
  Y: [4.6, "0 7 2.3 3.4 4.6 7; 2.3 3.4 2.3 0"],
  Z: [4.2, "0.1 7 4.1 7 0 0 4.2 0"],
  ".": [0, "0 0 0 0.15"],
  ",": [0.4, "0.4 0.3 0 -1.2"],
  ":": [0, "0 0.2 0 0.35; 0 4.2 0 4.35"],
  "-": [2.4, "0 2.6 2.4 2.6"],
  "+": [3.6, "0 2.8 3.6 2.8; 1.8 1 1.8 4.6"],
  "=": [3.4, "0 2 3.4 2; 0 3.8 3.4 3.8"],
  "/": [2.6, "0 -0.8 2.6 7.4"],
  "(": [1.2, "@2.6 3 2.6 4.8 122 238"],
  ")": [1.2, "@-1.4 3 2.6 4.8 -58 58"],
  _: [3.8, "0 -0.6 3.8 -0.6"],
  "'": [0, "0 7 0 5.4"],
  "%": [6, "@1.3 5.7 1.3 1.3 0 360; @4.7 1.3 1.3 1.3 0 360; 1.2 0 4.8 7"],
  "×": [3, "0 1.2 3 4.2; 0 4.2 3 1.2"],
  "·": [0, "0 2.7 0 2.85"],
};
/** A box: there is a letter, and this font does not have it. */
const missing = [3.6, "0 0 3.6 0 3.6 7 0 7 0 0"] as const;

const widthOf = (text: string): number =>
  [...text].reduce((sum, letter) => sum + (glyphs[letter] ?? missing)[0] + BETWEEN, -BETWEEN);

/** Polylines of a text in pixels, y downwards, by its baseline and anchor. */
export function strokesOf(text: string, x: number, y: number, size: number, anchor: "start" | "middle" | "end"): number[][] {
  const unit = (CAPITAL_SHARE * size) / CAPITALS;
  let at = x - { start: 0, middle: 0.5, end: 1 }[anchor] * widthOf(text) * unit;
  return [...text].flatMap((letter) => {
    const [width, strokes] = glyphs[letter] ?? missing;
    const left = at;
    at += (width + BETWEEN) * unit;
    return strokes
      .split(";")
      .filter((stroke) => stroke !== "")
      .map((stroke) => pointsOf(stroke.trim()).map((value, i) => (i % 2 === 0 ? left + value * unit : y - value * unit)));
  });
}

function pointsOf(stroke: string): number[] {
  if (!stroke.startsWith("@")) return stroke.split(" ").map(Number);
  const [cx, cy, rx, ry, from, to] = stroke.slice(1).split(" ").map(Number) as [number, number, number, number, number, number];
  const pieces = Math.ceil((to - from) / 20);
  return Array.from({ length: pieces + 1 }, (_, i) => ((from + ((to - from) * i) / pieces) * Math.PI) / 180).flatMap((angle) => [
    cx + rx * Math.cos(angle),
    cy + ry * Math.sin(angle),
  ]);
}
