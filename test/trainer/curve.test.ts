/** The curve of a run, as the pixels and the marks that it consists of. */
import { decode } from "fast-png";
import { expect, test } from "vitest";
import { linearScale, scaleFor } from "../../src/chart/scale.js";
import { reachOf, runsOf, smooth } from "../../src/chart/series.js";
import { type CurveRecord, curvePng, curveSvg } from "../../src/trainer/curve.js";

const records = (count: number, loss: (i: number) => number | null): CurveRecord[] =>
  Array.from({ length: count }, (_, i) => ({ step: 10 * i, loss: loss(i) }));

/** Pixels by a rough name of their colour. */
function pixels(png: Uint8Array) {
  const { width, height, channels, data } = decode(png);
  expect(channels).toBe(3);
  const nameAt = (x: number, y: number) => {
    const [r, g, b] = data.subarray(3 * (y * width + x)) as unknown as [number, number, number];
    if (r > 180 && g < 100 && b < 100) return "red";
    if (b > r + 40 && b > 120) return r < 60 ? "dark" : "light";
    return r + g + b < 500 ? "ink" : "paper";
  };
  /** Rows of a column, or columns of a row, in which a colour stands. */
  const rows = (x: number, name: string, from = 0, to = height) =>
    Array.from({ length: to - from }, (_, i) => from + i).filter((y) => nameAt(x, y) === name);
  const columns = (name: string, from = 0, to = height) =>
    Array.from({ length: width }, (_, x) => x).filter((x) => rows(x, name, from, to).length > 0);
  return { width, height, rows, columns };
}

/** Left and right edge of the plot, for a picture 900 wide. */
const [LEFT, RIGHT] = [56, 880];

test("a falling loss is a dark line from the upper left to the lower right, over a light one", () => {
  const picture = pixels(curvePng(records(200, (i) => 1 - i / 400 + (i % 2) * 0.05)));
  expect([picture.width, picture.height]).toEqual([900, 500]);
  const middleOf = (x: number) => {
    const rows = picture.rows(x, "dark", 40);
    expect(rows.length).toBeGreaterThan(0);
    expect(rows.at(-1)! - rows[0]!).toBeLessThan(12);
    return rows[0]!;
  };
  const places = [LEFT + 20, 300, 468, 700, RIGHT - 4].map(middleOf);
  expect(places).toEqual(places.toSorted((a, b) => a - b));
  // From 1 to 0.5 on an axis with 6 % of room at its ends: most of the height of the plot.
  expect(places.at(-1)! - places[0]!).toBeGreaterThan(300);
  expect(picture.columns("light", 40).length).toBeGreaterThan(200);
  expect(picture.columns("red")).toEqual([]);
});

test("what is not finite is a gap with a red cross above it", () => {
  const picture = pixels(curvePng(records(21, (i) => (i >= 10 && i <= 12 ? null : 1 + (i % 2)))));
  const at = (i: number) => Math.round(LEFT + (i / 20) * (RIGHT - LEFT));
  expect(picture.rows(at(9) - 8, "dark", 40)).not.toEqual([]);
  for (const i of [10, 10.5, 11, 12]) expect(picture.rows(at(i), "dark", 40)).toEqual([]);
  expect(picture.rows(at(13) + 8, "dark", 40)).not.toEqual([]);
  const red = picture.columns("red", 34);
  for (const i of [10, 11, 12]) expect(red).toContain(at(i));
  expect(red.filter((x) => x < at(9.5) || x > at(12.5))).toEqual([]);
});

test("one record is a dot, and none is an empty frame", () => {
  const dot = pixels(curvePng([{ step: 1, loss: 0.5 }])).columns("dark");
  expect(dot.length).toBeGreaterThanOrEqual(4);
  expect(dot.length).toBeLessThanOrEqual(7);
  const empty = pixels(curvePng([]));
  expect(empty.columns("dark")).toEqual([]);
  expect(empty.columns("ink").length).toBeGreaterThan(0);
  // Five records without a finite loss: five crosses.
  expect(curveSvg(records(5, () => null)).match(/<path class="bad"/g)).toHaveLength(2 * (5 + 1));
});

test("tick labels stand left of the plot and below it", () => {
  const picture = pixels(curvePng(records(30, (i) => 1 - i / 60)));
  const labels = Array.from({ length: 40 }, (_, x) => x + 10).filter((x) => picture.rows(x, "ink").length > 0);
  expect(labels.length).toBeGreaterThan(10);
  expect(picture.columns("ink", 470, 480).length).toBeGreaterThan(30);
});

test("a hundred thousand records are thinned to pixel columns, and no spike is lost", () => {
  const spike = 73_210;
  const many = records(100_000, (i) => (i === spike ? 9 : 2 + ((i * 7919) % 100) / 100));
  const svg = curveSvg(many);
  expect(svg.length).toBeLessThan(100_000);
  const picture = pixels(curvePng(many));
  const x = Math.floor(LEFT + (spike / 99_999) * (RIGHT - LEFT));
  expect(Math.min(...picture.rows(x, "light", 40))).toBeLessThan(60);
  expect(Math.min(...picture.rows(x + 5, "light", 40))).toBeGreaterThan(150);
});

test("other panels appear for what was recorded and says something", () => {
  const full = (i: number): CurveRecord => ({
    ...{ step: 10 * i, loss: 0.5 + 0.01 * i, mse: 0.4, vb: 0.1 + 0.01 * i, gradientNorm: 1 },
    learningRate: i < 5 ? i / 5000 : 1e-3,
  });
  const titles = (list: CurveRecord[]) =>
    [...curveSvg(list).matchAll(/<text class="title"[^>]*>([^<]*)</g)].map(([, title]) => title);
  expect(titles(Array.from({ length: 20 }, (_, i) => full(i)))).toEqual(["loss", "gradient norm", "mse", "vb", "learning rate"]);
  const alike = Array.from({ length: 20 }, (_, i) => ({ step: i, loss: 1, mse: 1, gradientNorm: 2, learningRate: 1e-4 }));
  expect(titles(alike)).toEqual(["loss", "gradient norm"]);
  expect(titles(records(20, (i) => 10 ** (-i / 10)))).toEqual(["loss (log)"]);
});

test("ticks are round, inside of the axis, and labelled shortly", () => {
  const labels = (low: number, high: number, about: number) => linearScale(low, high, about).ticks.map(({ label }) => label);
  expect(labels(0, 4000, 8)).toEqual(["0", "500", "1000", "1500", "2000", "2500", "3000", "3500", "4000"]);
  expect(labels(0, 1e6, 5)).toEqual(["0", "200k", "400k", "600k", "800k", "1000k"]);
  expect(labels(0.061, 0.118, 5)).toEqual(["0.08", "0.10"]);
  expect(labels(-1, 1, 4)).toEqual(["-1.0", "-0.5", "0", "0.5", "1.0"]);
  expect(labels(0, 2e-5, 2)).toEqual(["0", "1e-5", "2e-5"]);
  const log = scaleFor(0.06, 1, 6);
  expect(log.log).toBe(true);
  expect(log.ticks.map(({ label }) => label)).toEqual(["0.1", "0.2", "0.5", "1"]);
  expect(log.at(0.06)).toBeGreaterThan(0);
  expect(log.at(Math.sqrt(0.06))).toBeCloseTo(0.5, 10);
  expect(scaleFor(1e-9, 1e9, 4).ticks.map(({ label }) => label)).toEqual(["1e-6", "1", "1e6"]);
  // Zero has no logarithm, and a constant has a place.
  expect([scaleFor(0, 10, 4).log, scaleFor(5, 5, 4).at(5), scaleFor(0, 0, 4).at(0)]).toEqual([false, 0.5, 0]);
  expect(scaleFor(1, 100, 4, true).log).toBe(false);
});

test("the smoothed line leaves a straight one as it is, and steps over gaps", () => {
  const straight = Array.from({ length: 500 }, (_, i) => 2 * i);
  const reach = reachOf(500);
  expect(reach).toBe(10);
  const smoothed = smooth(straight);
  for (let i = 0; i < 500 - 2 * reach; i++) expect(smoothed[i]).toBeCloseTo(2 * i, 9);
  const noisy = straight.map((x, i) => x + (i % 2 === 0 ? 50 : -50));
  for (let i = 2 * reach; i < 500 - 2 * reach; i++) expect(Math.abs(smooth(noisy)[i]! - 2 * i)).toBeLessThan(1);
  expect(smooth(straight.map((x, i) => (i === 100 ? null : x)))[100]).toBeNull();
});

test("thinned runs keep first, least, greatest and last of a column, and part at gaps that can be seen", () => {
  const steps = Array.from({ length: 12 }, (_, i) => i);
  const values = [3, 9, 5, 1, 4, 4, null, 7, 7, null, null, 2];
  expect(runsOf({ steps, values }, (step) => step / 6)).toEqual([
    [0, 1, 3, 5],
    [7, 11],
  ]);
  expect(runsOf({ steps, values }, (step) => 10 * step)).toEqual([[0, 1, 2, 3, 4, 5], [7, 8], [11]]);
});
