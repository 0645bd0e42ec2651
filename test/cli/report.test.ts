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
  readonly parameters: number;
}

const paper = (goldenJson("models.json") as PaperModel[]).filter((m) => m.latent === 32 && m.block === "adaln_zero");

test("there are twelve", () => {
  expect(paper.map((m) => m.model).sort()).toHaveLength(12);
});

test.each(paper)("DiT-$model", { timeout: 120_000 }, async ({ model: name, gflops_paper, gflops_formula, parameters }) => {
  const { report } = await compile(model("dit"), { preset: `DiT-${name}`, entries: ["forward"] });
  expect(report.parameters).toBe(parameters);
  expect(report.gflops).toBeCloseTo(gflops_formula, 9);
  // The paper rounds, and once cuts.
  expect(Math.abs(report.gflops! - gflops_paper)).toBeLessThan(0.011);
});

describe("the printed report", () => {
  test("of DiT-XL/2 has the paper's figures", { timeout: 120_000 }, async () => {
    const { code, out } = await dit(model("dit"), "--preset", "DiT-XL/2", "--entry", "forward", "--emit", "report");
    expect(code).toBe(0);
    expect(out).toMatch(/parameters +675,129,632 /);
    expect(out).toMatch(/Gflops +118\.64 /);
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
