/** The comparison itself: it must fail where it should, or all golden tests are worth nothing. */
import { expect, test } from "vitest";
import { check, golden } from "./golden.js";

test("equal numbers pass, also against a tolerance of zero", () => {
  expect(check("a", [1, 2], [1, 2], { atol: 0, rel_l2: 0 })).toBeUndefined();
});

test("a failure names the worst element and both errors", () => {
  const said = check("a", [1, 2, 3, 5], [1, 2, 3, 4], { atol: 0.5 }, [2, 2]);
  expect(said).toBe(
    "a [2, 2]: worst at [1, 1]: got 5, expected 4; error 1.00e+0 (atol 0.5); 1 of 4 elements outside; relative L2 error 1.83e-1 (allowed Infinity)",
  );
});

test("NaN, a wrong length and a relative error alone all fail", () => {
  expect(check("a", [1, Number.NaN], [1, 2], { atol: 9 })).toContain("got NaN");
  expect(check("a", [1], [1, 2], { atol: 9 })).toContain("1 elements, expected 2");
  expect(check("a", [1.1, 2], [1, 2], { atol: 9, rel_l2: 0.01 })).toContain("relative L2");
});

test("ignored rows are left out", () => {
  expect(check("a", [1, 7, 7, 4], [1, 2, 3, 4], { atol: 0, ignore_slice: [1, 3] })).toBeUndefined();
  expect(check("a", [1, 7, 7, 4], [1, 2, 3, 4], { atol: 0, ignore_slice: [1, 2] })).toBeDefined();
});

test("golden files load with their cases and tolerances", () => {
  const model = golden("model_adaln_zero");
  expect(model.check("forward/out", model.f32("forward/out"))).toBeUndefined();
  expect(
    model.check(
      "forward/out",
      model.f32("forward/out").map((x) => x + 1e-4),
    ),
  ).toContain("forward/out");
  expect(model.tolerance("train/w5.blocks.0.attn.qkv.bias").ignore_slice).toEqual([64, 128]);
  expect(model.weights().get("blocks.0.attn.qkv.weight")?.shape).toEqual([192, 64]);
  expect(() => model.get("no such tensor")).toThrow("no such tensor");
});
