// What the report says of the paper's models: their sizes and their work.
import { describe, expect, test } from "vitest";
import { compile } from "../../src/compile/compile.js";
import { goldenJson } from "../golden.js";
import { dit, model } from "./capture.js";

interface PaperModel {
  readonly model: string;
  readonly latent: number;
  readonly block: string;
  readonly gflops_paper: number;
  readonly gflops_formula: number;
  readonly gmacs_plain: number;
  readonly parameters: number;
  readonly parameters_without_pos_embed: number;
}

const paper = goldenJson("models.json") as PaperModel[];

test("there are sixteen", () => {
  expect(new Set(paper.map((m) => `${m.model} ${m.latent} ${m.block}`)).size).toBe(16);
});

test.each(paper)("DiT-$model, $latent, $block", { timeout: 120_000 }, async (m) => {
  const preset = `DiT-${m.model}${m.latent === 64 ? "-512" : ""}`;
  const { report } = await compile(model("dit"), { preset, set: [`block=${m.block}`], entries: ["forward"] });
  expect([report.parameters, report.trainable]).toEqual([m.parameters, m.parameters_without_pos_embed]);
  expect(report.gflops).toBeCloseTo(m.gflops_formula, 9);
  expect(report.gflops!.toFixed(2)).toBe(m.gflops_paper.toFixed(2));
  expect(report.gmacs).toBeCloseTo(m.gmacs_plain, 9);
});

test("every size has a preset at 256 and at 512 pixels", async () => {
  const { code, err } = await dit(model("dit"), "--preset", "none");
  expect(code).not.toBe(0);
  for (const size of ["S", "B", "L", "XL"])
    for (const patch of [2, 4, 8]) for (const side of ["", "-512"]) expect(err).toContain(`DiT-${size}/${patch}${side}`);
});

describe("the printed report", () => {
  test("of DiT-XL/2 has the paper's figures", { timeout: 120_000 }, async () => {
    const { code, out } = await dit(model("dit"), "--preset", "DiT-XL/2", "--entry", "forward", "--emit", "report");
    expect(code).toBe(0);
    expect(out).toMatch(/parameters +675,129,632 /);
    expect(out).toMatch(/Gflops +118\.64 .*as the paper counts; 118\.621421568 in matrix products/);
  });

  test("says what a training run computes, from batch and steps", { timeout: 120_000 }, async () => {
    const run = ["--preset", "DiT-XL/2", "--entry", "forward", "--batch", "16", "--set", "accumulate=16", "--steps", "400000"];
    expect((await dit(model("dit"), ...run)).out).toMatch(/training +3\.64e\+10 Gflops \(118\.64 × 256 × 400,000 steps × 3\)/);
    const { training } = JSON.parse((await dit(model("dit"), ...run, "--json")).out);
    expect(training.gflops).toBeCloseTo(118.64 * 256 * 400_000 * 3, 0);
    const { code, err } = await dit(model("dit"), "--preset", "tiny", "--steps", "10");
    expect([code, err]).toEqual([1, expect.stringContaining("give --batch")]);
  });

  test("has exact memory by kind that adds up, ops after each pass, and dispatches", async () => {
    const { code, out, err } = await dit(model("mlp"), "--preset", "tiny");
    expect([code, err]).toEqual([0, ""]);
    const blocks = out
      .slice(out.indexOf("peak memory"))
      .split(/\n(?=\S)/)
      .slice(1);
    expect(blocks.map((block) => block.split(/ {2,}/)[0])).toEqual(["forward", "loss_and_grad", "train_step", "all entries"]);
    for (const block of blocks) {
      const [total, ...parts] = [...block.matchAll(/([\d,]+)(?: bytes)?$/gm)].map((m) => Number(m[1]!.replaceAll(",", "")));
      expect(parts.reduce((sum, n) => sum + n, 0)).toBe(total);
    }
    for (const pass of ["trace", "differentiate", "simplify", "cse", "dce", "fuse"]) {
      expect(out).toMatch(new RegExp(`^${pass} +\\d`, "m"));
    }
    expect(out).toMatch(/^forward +\d+ +\d+ +[\d.]+/m);
  });
});
