// A profile as tables, JSON, a trace and a picture, without a device.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeBundle } from "../../src/compile/bundle.js";
import { compile } from "../../src/compile/compile.js";
import { type Profile, staticProfile } from "../../src/profiler/profile.js";
import { rooflineDrawing, rooflineSvg } from "../../src/profiler/roofline.js";
import { traceOf } from "../../src/profiler/trace.js";
import { dit, model } from "../cli/capture.js";
import { tiny } from "../program/tiny.js";

let folder: string;
const at = (name: string) => join(folder, name);
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "dit-profile-"));
  const { bundle } = await compile(model("mlp"), { preset: "tiny", entries: ["forward"], batch: 2 });
  await writeBundle(bundle, at("bundle"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const peaks = ["--peak-tflops", "1", "--peak-bandwidth", "100"];

test("--static prints the work by kernel and by source line, and with peaks the least time", async () => {
  const plain = await dit("profile", at("bundle"), "-e", "forward", "--static");
  expect([plain.code, plain.err]).toEqual([0, ""]);
  expect(plain.out).toMatch(/^kernel +runs +MFLOP +MB +FLOP\/B$/m);
  expect(plain.out).toMatch(/^models\/mlp\.graph\.ts:\d+ +\S/m);
  const { out } = await dit("profile", at("bundle"), "-e", "forward", "--static", ...peaks, "--json");
  const found = JSON.parse(out) as Profile;
  const least = found.dispatches.map((d) => 1e3 * Math.max(d.flops / 1e12, (d.readBytes + d.writtenBytes) / 1e11));
  expect(found.total.leastMs).toBeCloseTo(
    least.reduce((a, b) => a + b),
    12,
  );
  for (const rows of [found.kernels, found.lines]) {
    expect(rows.reduce((n, row) => n + row.flops, 0)).toBe(found.total.flops);
    expect(rows.reduce((n, row) => n + row.dispatches, 0)).toBe(found.total.dispatches);
  }
});

test.each([
  [["--static", "--trace", "t.json"], "--static runs nothing, and --trace is about a run"],
  [["--static", "--peak-tflops", "1"], "a roofline is two rates"],
  [["--static", "--roofline", "r.svg"], "draws a machine that it does not know"],
  [["--static", "--peak-tflops", "0", "--peak-bandwidth", "1"], "expected a number above 0"],
  [peaks, "--peak-tflops and --peak-bandwidth are for --static"],
])("%j is refused", async (options, sentence) => {
  const { code, err } = await dit("profile", at("bundle"), "-e", "forward", ...options);
  expect([code, err]).toEqual([1, expect.stringContaining(sentence)]);
});

test("an entry that is not there is refused, with the nearest", async () => {
  const { code, err } = await dit("profile", at("bundle"), "-e", "forwards", "--static");
  expect([code, err]).toEqual([1, expect.stringMatching(/no entry "forwards"[\s\S]*forward/)]);
});

/** As if it had been measured. */
function measured(): Profile {
  const { program } = tiny();
  const profile = staticProfile(program, { entry: "axpb", roofline: { flopsPerSecond: 1e6, bytesPerSecond: 1e6 } });
  const spans = [
    { begin: 0, end: 0.25 },
    { begin: 0.5, end: 1.125 },
  ];
  return { ...profile, measured: { clock: "gpu", tickNs: 1, emptySubmitMs: 0, runs: 1, passMs: 2, spans } };
}

test("the trace has a slice for each dispatch, in microseconds, above it its source line", () => {
  const { traceEvents, displayTimeUnit } = JSON.parse(JSON.stringify(traceOf(measured(), "an adapter")));
  expect(displayTimeUnit).toBe("ms");
  const slices = traceEvents.filter((event: { ph: string }) => event.ph === "X");
  expect(slices.filter((event: { cat: string }) => event.cat === "dispatch")).toMatchObject([
    { name: "mul %ax", pid: 1, tid: 2, ts: 0, dur: 250, args: { kernel: "mul", flops: 8, bytes: 80 } },
    { name: "add %y", pid: 1, tid: 2, ts: 500, dur: 625, args: { kernel: "add", flops: 16, bytes: 96 } },
  ]);
  expect(slices.filter((event: { cat: string }) => event.cat === "line")).toMatchObject([
    { name: "tiny.ts:3", tid: 1, ts: 0, dur: 250 },
    { name: "tiny.ts:4", tid: 1, ts: 500, dur: 625 },
  ]);
  expect(traceEvents.filter((event: { ph: string }) => event.ph === "M")).toHaveLength(3);
});

test("the roofline has a dot for each kernel with arithmetic, all of them on the roof when nothing was timed", async () => {
  const { code } = await dit("profile", at("bundle"), "-e", "forward", "--static", ...peaks, "--roofline", at("r.svg"));
  expect(code).toBe(0);
  const svg = readFileSync(at("r.svg"), "utf8");
  expect(svg).toMatch(/^<svg [\s\S]*<\/svg>\n$/);
  expect(svg).toContain("1000 GFLOP/s");
  const profile = staticProfile(tiny().program, { entry: "axpb", roofline: { flopsPerSecond: 1e9, bytesPerSecond: 1e9 } });
  const { shapes, width, height } = rooflineDrawing(profile, "title");
  const dots = shapes.flatMap((shape) => (shape.kind === "dot" ? [shape] : []));
  expect(dots).toHaveLength(2);
  const [roof] = shapes.flatMap((shape) => (shape.kind === "line" && shape.role === "smooth" ? [shape.points] : []));
  const [x0, y0, x1, y1] = roof as [number, number, number, number];
  for (const { x, y } of dots) {
    expect(y).toBeCloseTo(y0 + ((x - x0) / (x1 - x0)) * (y1 - y0), 6);
    expect(x > 0 && x < width && y > 0 && y < height).toBe(true);
  }
  expect(rooflineSvg(profile, "a < b")).toContain("a &lt; b");
});
