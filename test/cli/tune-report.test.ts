// What `tune` says when a way of a kernel gave wrong numbers: with --json one value with all that was found, and the command fails.
import { expect, test } from "vitest";
import { exitCode, type Io } from "../../src/cli/io.js";
import { reportTuned } from "../../src/cli/tune.js";
import type { Tuned } from "../../src/tuner/tune.js";

const tuned: Tuned = {
  clock: "host",
  kernels: [],
  chosenMs: { own: 2, tuned: 1 },
  passMs: { own: 4, tuned: 3 },
  leftOut: [],
  wrong: [],
};
const wrong = ["matmul=few-rows: 3 of 4 numbers"];

async function said(found: Tuned, json: boolean): Promise<{ code: number; out: string; err: string }> {
  const text = { out: "", err: "" };
  const io: Io = {
    out: (more) => {
      text.out += more;
    },
    err: (more) => {
      text.err += more;
    },
  };
  const code = await exitCode(io, async () => reportTuned(found, "an adapter", { output: "t.json", json }, io), json);
  return { code, ...text };
}

test("nothing wrong", async () => {
  const { code, out } = await said(tuned, true);
  expect([code, JSON.parse(out)]).toEqual([0, { adapter: "an adapter", output: "t.json", ...tuned }]);
});

test("wrong numbers", async () => {
  const { code, out, err } = await said({ ...tuned, wrong }, true);
  expect([code, JSON.parse(out)]).toEqual([1, { adapter: "an adapter", output: "t.json", ...tuned, wrong }]);
  expect(err).toContain(`wrong numbers, left out: ${wrong[0]}`);
  const text = await said({ ...tuned, wrong }, false);
  expect(text.code).toBe(1);
  expect(text.out).toContain("one pass");
  expect(text.err).toContain("DIT7042");
});
