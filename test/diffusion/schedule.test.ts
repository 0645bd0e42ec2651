import { expect, test } from "vitest";
import { DitError } from "../../src/diagnostics/diagnostic.js";
import { ddimTable, dpmSolverTable, respace, type Schedule, schedule, solverSteps } from "../../src/diffusion/schedule.js";
import { golden } from "../golden.js";

const file = golden("schedules");
const camel = (name: string): string => name.replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase());
/** Relative error, where zero must be met exactly. */
const off = (got: number, expected: number): number => (got === expected ? 0 : Math.abs(got - expected) / Math.abs(expected));

test.each(Object.keys(file.cases))("all arrays of %s are the published ones", (name) => {
  const got = schedule(name === "all" ? "" : name);
  const arrays = [...file.tensors.keys()].filter((key) => key.startsWith(`${name}/`));
  expect(arrays.length).toBe(16);
  for (const key of arrays) {
    const field = got[camel(key.slice(name.length + 1)) as keyof Schedule] as ArrayLike<number>;
    const expected = file.get(key).data as ArrayLike<number>;
    expect(field.length).toBe(expected.length);
    const worst = Math.max(...Array.from(expected, (value, i) => off(field[i]!, value)));
    expect(worst, key).toBeLessThanOrEqual(1e-11);
  }
});

test("hand-checked values of the 1000-step process", () => {
  const s = schedule();
  expect(s.alphasCumprod[0]).toBeCloseTo(0.9999, 12);
  expect(s.alphasCumprod[500]).toBeCloseTo(0.07779665836502, 13);
  expect(s.alphasCumprod[999]).toBeCloseTo(4.035829765376e-5, 16);
  expect(s.posteriorVariance[1]).toBeCloseTo(5.45318766e-5, 12);
  expect(s.posteriorVariance[999]).toBeCloseTo(0.01999998353, 10);
  expect(s.posteriorVariance[0]).toBe(0);
  expect(s.posteriorLogVarianceClipped[0]).toBeCloseTo(-9.8167251353, 9);
  expect([s.posteriorMeanCoef1[0], s.posteriorMeanCoef2[0]]).toEqual([1, 0]);
  expect(s.posteriorMeanCoef1[999]).toBeCloseTo(1.28351487e-4, 11);
  expect(s.posteriorMeanCoef2[999]).toBeCloseTo(0.9899486782675, 12);
  expect(schedule("250").betas[1]).toBeCloseTo(5.99065564e-4, 11);
  expect(schedule("250").betas[249]).toBeCloseTo(0.0775193449924, 12);
  expect(schedule("ddim50").betas[49]).toBeCloseTo(0.32461444753, 10);
});

test("respacing keeps the published timesteps", () => {
  const of = (text: string, steps = 1000): number[] => [...respace(text, steps)];
  expect(of("250").slice(0, 6)).toEqual([0, 4, 8, 12, 16, 20]);
  expect(of("250").slice(-3)).toEqual([991, 995, 999]);
  expect(of("20")).toEqual([0, 53, 105, 158, 210, 263, 315, 368, 421, 473, 526, 578, 631, 684, 736, 789, 841, 894, 946, 999]);
  expect(of("ddim50")).toEqual(Array.from({ length: 50 }, (_, i) => 20 * i));
  const sections = of("10,15,20", 300);
  expect(sections.slice(0, 3)).toEqual([0, 11, 22]);
  expect(sections.slice(10, 13)).toEqual([100, 107, 114]);
  expect(sections.slice(25, 28)).toEqual([200, 205, 210]);
  expect(of("").length).toBe(1000);
  expect(of("1, 2")).toEqual([0, 500, 999]);
});

const refused = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (error instanceof DitError) return error.message;
    throw error;
  }
  throw new Error("was accepted");
};

test("a wrong respacing string is explained", () => {
  expect(refused(() => schedule("fast"))).toMatch(/DIT4102: respacing "fast" of 1000 steps: this is not a respacing/);
  expect(refused(() => schedule("ddim300"))).toMatch(/no whole stride gives exactly 300 steps[\s\S]*"ddim334" or "ddim250"/);
  expect(refused(() => schedule("ddim0"))).toContain("DIT4102");
  expect(refused(() => schedule("1001"))).toMatch(/section 1 has 1000 steps, 1001 were asked for/);
  expect(refused(() => schedule("10,600"))).toMatch(/section 2 has 500 steps[\s\S]*at most 500/);
  for (const text of ["1", "0", "ddim1", "-5", "10,", "2.5", "ddim", "1e2", "٣"])
    expect(refused(() => schedule(text))).toContain("DIT4102");
  for (const steps of [0, 20, 1.5, Number.NaN]) expect(refused(() => schedule("", steps))).toContain("DIT4101");
  expect(schedule("", 21).alphasCumprod[20]).toBeGreaterThan(0);
});

test("DDIM: eta 0 adds no noise, eta 1 has the posterior's variance, the last step gives x0", () => {
  const s = schedule("ddim50");
  const [still, noisy] = [ddimTable(s), ddimTable(s, 1)];
  expect(still.sigma.every((x) => x === 0)).toBe(true);
  expect([still.x0Coef[0], still.epsCoef[0], noisy.sigma[0]]).toEqual([1, 0, 0]);
  for (let i = 1; i < s.length; i++) {
    expect(noisy.sigma[i]! ** 2).toBeCloseTo(s.posteriorVariance[i]!, 12);
    expect(still.x0Coef[i]! ** 2 + still.epsCoef[i]! ** 2).toBeCloseTo(1, 12);
  }
  expect(refused(() => ddimTable(s, 1.5))).toContain("DIT4103");
});

test("DPM-Solver++: published timesteps, and one step of exact eps lands on x0", () => {
  const table = dpmSolverTable(20);
  expect([...table.timesteps]).toEqual([
    999, 949, 899, 849, 799, 749, 699, 649, 599, 549, 500, 450, 400, 350, 300, 250, 200, 150, 100, 50,
  ]);
  expect([table.xCoef[19], table.mCoef[19], table.lastCoef[0], table.lastCoef[19]]).toEqual([0, 1, 0, 0]);
  // With eps consistent with one fixed x0, every m equals x0 and the whole path ends in it.
  const { alphasCumprod } = schedule();
  const [x0, noise] = [0.7, -1.3];
  const abar = alphasCumprod[999]!;
  let x = Math.sqrt(abar) * x0 + Math.sqrt(1 - abar) * noise;
  let last = 0;
  for (let k = 0; k < 20; k++) {
    const a = alphasCumprod[table.timesteps[k]!]!;
    const eps = (x - Math.sqrt(a) * x0) / Math.sqrt(1 - a);
    const m = table.xToM[k]! * x + table.epsToM[k]! * eps;
    expect(m).toBeCloseTo(x0, 10);
    x = table.xCoef[k]! * x + table.mCoef[k]! * m + table.lastCoef[k]! * last;
    last = m;
  }
  expect(x).toBeCloseTo(x0, 12);
  expect(refused(() => dpmSolverTable(1000))).toContain("DIT4104");
  expect([...dpmSolverTable(1).timesteps]).toEqual([999]);
});

test("DPM-Solver++ takes a number of steps, and says so of anything else", () => {
  expect([solverSteps("20"), solverSteps(" 10 ")]).toEqual([20, 10]);
  for (const text of ["", "10,15,20", "ddim50", "fast", "-5", "2.5"]) {
    const message = refused(() => solverSteps(text));
    expect(message).toContain(`error DIT4104: respacing "${text}" does not say how many steps DPM-Solver++ takes`);
    expect(message).toMatch(/one whole number from 1 to 999[\s\S]*respacing=20/);
  }
});
