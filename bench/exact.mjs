// Whole entries against the f64 interpreter, end to end: what f32 and the order of sums make of a model in all its layers together.
import { uniform, weightsOf } from "./full-size-data.mjs";

const MODEL = "models/dit.graph.ts";
/** Of the largest number of each tensor, gradients each by itself: the limits that other programs are held to as well (docs/performance.md). */
const FORWARD = 1e-4;
const GRADIENT = 1e-3;
const cases = [
  { preset: "DiT-S/8", entry: "forward", batch: 2, limit: FORWARD },
  { preset: "DiT-S/4", entry: "forward", batch: 2, limit: FORWARD },
  { preset: "DiT-S/8", entry: "loss_and_grad", batch: 1, limit: GRADIENT },
  { preset: "DiT-S/4", entry: "loss_and_grad", batch: 1, limit: GRADIENT },
];

const sizeAt = (size, batch) => (typeof size === "number" ? size : size.reduceRight((sum, c) => sum * batch + c, 0));
const countOf = (shape) => shape.reduce((product, size) => product * size, 1);

/** Of each case the tensor that differs most. */
export async function endToEnd(from, say) {
  const [{ compile }, { evaluate }, { createSession }, { writeWeights }, { requestDevice }] = await Promise.all(
    ["compile/compile.js", "ir/eval.js", "runtime/session.js", "node/weights.js", "runtime/node/dawn.js"].map(from),
  );
  const { device } = await requestDevice();
  const rows = [];
  for (const { preset, entry, batch, limit } of cases) {
    say(`${entry} of ${preset}, batch ${batch}: on the adapter, then in f64`);
    let differentiated;
    const after = (pass, module) => {
      if (pass === "differentiate") differentiated = module;
    };
    const { bundle } = await compile(MODEL, { preset, batch, entries: [entry], after });
    const weights = new Map();
    const { shapes, make } = await weightsOf(from, preset, 1);
    for (const name of shapes.keys()) weights.set(name, make(name));
    const inputs = inputsOf(bundle.program.entries[0], batch);
    const session = await createSession(bundle, device, { batch, entries: [entry] });
    await writeWeights(session, async (key) => weights.get(key));
    const got = await session.run(entry, inputs);
    session.dispose();
    const given = givenTo(differentiated, entry, { bundle, inputs, weights, batch });
    const exact = evaluate(differentiated, entry, given, { batch, precision: "f64" });
    let worst = { by: -1, name: "" };
    for (const [name, { data }] of exact) {
      const by = apart(got[name], data);
      if (!(by <= worst.by)) worst = { by, name };
    }
    rows.push({ preset, entry, batch, tensors: exact.size, worst: worst.by, name: worst.name, limit });
    say(`  differs by ${worst.by.toExponential(1)} of the largest, in ${worst.name}`);
  }
  return { rows };
}

/** The largest difference, as a share of the largest number. */
function apart(found, exact) {
  let [largest, most] = [0, 0];
  for (let i = 0; i < exact.length; i++) {
    largest = Math.max(largest, Math.abs(exact[i]));
    const d = Math.abs(found[i] - exact[i]);
    most = Number.isFinite(d) ? Math.max(most, d) : Infinity;
  }
  return most === 0 ? 0 : most / largest;
}

function inputsOf(entry, batch) {
  const next = uniform(5);
  const whole = { t: 1000, y: 1000 };
  return Object.fromEntries(
    entry.inputs
      .filter(({ kind }) => kind === "input")
      .map(({ name, dtype, shape }) => {
        const length = countOf(shape.map((size) => sizeAt(size, batch)));
        if (dtype === "f32") return [name, Float32Array.from({ length }, () => 1.7 * next())];
        return [name, Int32Array.from({ length }, () => Math.floor(((next() + 1) / 2) * (whole[name] ?? 2)))];
      }),
  );
}

function givenTo(module, entry, { bundle: { program, constants }, inputs, weights, batch }) {
  const fn = module.fns.find(({ name }) => name === entry);
  return new Map(
    fn.params.map(({ name, value: { type } }) => {
      const shape = type.shape.map((size) => sizeAt(size, batch));
      const bytes = ({ offset, dtype }) => {
        const part = constants.slice(offset, offset + 4 * countOf(shape)).buffer;
        return dtype === "i32" ? new Int32Array(part) : new Float32Array(part);
      };
      const data = inputs[name] ?? weights.get(name) ?? bytes(program.constants.find((c) => c.name === name));
      return [name, { shape, data }];
    }),
  );
}
