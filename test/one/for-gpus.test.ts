// Rows, and products whose K is divided among workgroups, that only a GPU would take: forced here, they compute what the others do. (Tiles of the
// matmul are forced in matmul.test.ts.)
import { afterAll, beforeAll, expect, test } from "vitest";
import { check } from "../../src/check/index.js";
import { compile } from "../../src/compile/compile.js";
import type { Bundle, Kernel } from "../../src/program/program.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { createSession } from "../../src/runtime/session.js";
import { freshWeights } from "../../src/trainer/weights.js";

let dawn: DawnDevice;
beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn?.dispose());

const BATCH = 4;
/** Two sums of the same numbers in another order, through a whole model. */
const BOUND = 1e-5;

/** The kernel, with the variant that needs a GPU taken by every device. */
const forced = (kernel: Kernel): Kernel => ({
  ...kernel,
  variants: kernel.variants.map((v) => (v.name.startsWith("teams-") ? { ...v, requires: {} } : v)),
});

const wave = (n: number, step: number) => Float32Array.from({ length: n }, (_, i) => Math.sin(i * step));

function inputs() {
  const size = BATCH * 4 * 8 * 8;
  const t = Int32Array.from({ length: BATCH }, (_, i) => 200 * i);
  const y = Int32Array.from({ length: BATCH }, (_, i) => i % 4);
  return { x_start: wave(size, 0.37), y, t, noise: wave(size, 0.61) };
}

async function gradients(bundle: Bundle): Promise<{ found: Record<string, ArrayLike<number>>; taken: string[] }> {
  const session = await createSession(bundle, dawn.device, { batch: BATCH });
  try {
    // Fresh output layers are zero, and would hide what is behind them.
    for (const [name, w] of freshWeights(bundle, 1)) {
      await session.write(
        `p.${name}`,
        w.map((x, i) => x + 0.1 * Math.sin(i + 1)),
      );
    }
    const found = await session.run("loss_and_grad", inputs());
    return { found: found as Record<string, ArrayLike<number>>, taken: session.variants.map(({ variant }) => variant) };
  } finally {
    session.dispose();
  }
}

const options = { preset: "tiny", set: ["depth=1"], batch: BATCH, entries: ["loss_and_grad"] };

/** What this device takes by itself. */
let own: { bundle: Bundle; found: Record<string, ArrayLike<number>> } | undefined;
async function usual(): Promise<NonNullable<typeof own>> {
  if (own) return own;
  const { bundle } = await compile("models/dit.graph.ts", options);
  own = { bundle, found: (await gradients(bundle)).found };
  return own;
}

test("several rows of a run side by side", async () => {
  const { bundle, found } = await usual();
  const kernels = bundle.program.kernels.map(forced);
  const other = await gradients({ ...bundle, program: { ...bundle.program, kernels } });
  expect(other.taken.filter((name) => name.startsWith("teams-")).length).toBeGreaterThan(2);
  alike(found, other.found);
});

test("products whose K is divided among workgroups", async () => {
  // Compiled for a batch at which K is long; here some of its parts have nothing.
  const divided = { ...options, batch: 64, choices: { matmul: "split-k-64x64" } };
  const { bundle } = await compile("models/dit.graph.ts", divided);
  const other = await gradients(bundle);
  expect(other.taken.filter((name) => name.startsWith("split-k-64x64")).length).toBeGreaterThan(2);
  alike((await usual()).found, other.found);
  // Its dispatches are known again, and each product is right by itself.
  const held = check(bundle, { samples: 4 });
  const session = await createSession(bundle, dawn.device, { batch: BATCH });
  try {
    await held.through(session, "loss_and_grad", inputs());
    expect(held.checked()).toMatchObject({ wrong: [] });
    expect(held.checked().outputs).toBeGreaterThan(100);
  } finally {
    session.dispose();
  }
});

function alike(usual: Record<string, ArrayLike<number>>, other: Record<string, ArrayLike<number>>): void {
  for (const [name, numbers] of Object.entries(usual)) {
    const values = Array.from(numbers);
    const largest = Math.max(...values.map(Math.abs));
    const apart = Math.max(...values.map((x, i) => Math.abs(x - other[name]![i]!)));
    expect(apart, name).toBeLessThanOrEqual(BOUND * largest);
  }
}
