// A profile on a driver: by both clocks every dispatch has a time, and the sums are the report's.
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Compiled, compile } from "../../src/compile/compile.js";
import { profile } from "../../src/profiler/profile.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";

let dawn: DawnDevice;
let compiled: Compiled;
beforeAll(async () => {
  dawn = await requestDevice();
  compiled = await compile("models/dit.graph.ts", { preset: "tiny", batch: 2, entries: ["forward"] });
});
afterAll(() => dawn.dispose());

test.each(["gpu", "host"] as const)("by the %s's clock", async (clock) => {
  const { bundle, report } = compiled;
  const entry = report.entries[0]!;
  const found = await profile(bundle, dawn.device, { entry: "forward", clock, runs: 2 });
  const { measured, roofline, dispatches, kernels, lines, total } = found;
  expect(measured).toMatchObject({ clock, runs: 2 });
  expect(measured!.tickNs === undefined).toBe(clock === "host");
  expect(measured!.passMs).toBeGreaterThan(0);
  expect(roofline!.flopsPerSecond).toBeGreaterThan(1e8);
  expect(roofline!.bytesPerSecond).toBeGreaterThan(1e7);

  expect(dispatches).toHaveLength(entry.dispatches);
  expect(kernels).toHaveLength(entry.kernels);
  expect(dispatches.reduce((sum, { macs }) => sum + macs, 0)).toBe(entry.macs);
  expect(measured!.spans).toHaveLength(entry.dispatches);
  for (const { ms, minMs, variant, label } of dispatches) {
    expect(minMs, label).toBeGreaterThan(0);
    expect(ms, label).toBeGreaterThanOrEqual(minMs!);
    expect(variant, label).toBeTruthy();
  }
  for (const rows of [kernels, lines]) {
    expect(rows.reduce((sum, { ms }) => sum + ms!, 0)).toBeCloseTo(total.ms!, 9);
    expect(rows.reduce((sum, { flops }) => sum + flops, 0)).toBe(total.flops);
  }
});
