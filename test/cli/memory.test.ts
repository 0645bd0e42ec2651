/** `--memory` at compile time: what does not fit is refused whole and in figures, what had to be done to fit is said. */
import { expect, test } from "vitest";
import { dit, model } from "./capture.js";

const args = (budget: string) => [model("dit"), "-p", "tiny", "-b", "8", "-e", "train_step", "--memory", budget];

test("below the least that is possible", { timeout: 60_000 }, async () => {
  expect(await dit(...args("1MiB"))).toEqual({
    code: 1,
    out: "",
    err: `error DIT1305: train_step at batch 8 needs at least 6.22 MiB (6,524,160 bytes) of GPU memory, may take 1.00 MiB (1,048,576 bytes)
  note: with nothing computed again it needs 7.44 MiB (7,800,064 bytes)
  note: the least is with 32 values computed again, 13.3 % more work
  help: give --memory 6524160 or more, or a smaller --batch
`,
  });
});

test("what is computed again is in the report", { timeout: 60_000 }, async () => {
  const { code, out } = await dit(...args("7000000"));
  expect(code).toBe(0);
  expect(out.slice(out.indexOf("train_step fitted"))).toBe(
    `train_step fitted to a budget: 6.67 MiB (6,998,016 bytes) with uniforms and staging, 7.44 MiB without; 0.23 % more operations
computed again                      times
map @ models/dit.graph.ts:164           2
attended @ models/dit.graph.ts:176      1
rows @ models/dit.graph.ts:176          1
map @ models/dit.graph.ts:125           1
hidden @ models/dit.graph.ts:124        1
map @ models/dit.graph.ts:124           1
`,
  );
});

test("nothing is computed again where all fits", { timeout: 60_000 }, async () => {
  const [fits, free] = [await dit(...args("1GiB")), await dit(...args("1GiB").slice(0, -2))];
  expect(fits).toEqual(free);
});
