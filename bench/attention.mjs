// Attention and its gradients, in kernels of their own against the unfused form: products, each of the design that is the fastest here, and
// a softmax, with the scores in memory. Both take turns in one process.
import { fromDist } from "../scripts/dist.mjs";
import { repeat } from "./measure.mjs";
import { bundleOf, inputsOf, kernelsOf, opened } from "./module.mjs";
import { inTurn } from "./ratios.mjs";
import { statistics } from "./statistics.mjs";

const [{ requestDevice }, { matmulChoices }, { placesOf }] = await Promise.all(
  ["runtime/node/dawn.js", "codegen/kernels/matmul.js", "tuner/places.js"].map(fromDist),
);

const HEADS = 6;
/** DiT-S at patch 4 and 2 for 256 pixels, and at 512 pixels; head widths of DiT-S, B and L, and of XL. The batch makes them long enough to time. */
const shapes = [
  { tokens: 64, batch: 16 },
  { tokens: 256, batch: 2 },
  { tokens: 1024, batch: 1 },
].flatMap((shape) => [64, 72].map((width) => ({ ...shape, width })));
/** At most so many times the time of the unfused form. */
const goals = { forward: (tokens) => (tokens > 256 ? 1 : 1.15), gradients: () => 1.5 };

/** Self-attention on one qkv tensor, as a model has it, and the gradient of qkv. */
async function selfAttention({ tokens, width, batch }) {
  const paths = ["builder", "ops/contract", "ops/elementwise", "ops/pointwise", "ops/reduce", "ops/shape"];
  const [{ Builder }, { dot }, { div, exp, mul, stopGradient, sub }, { like }, { max }, shape] = await Promise.all(
    paths.map((path) => fromDist(`ir/${path}.js`)),
  );
  const { drop, expandTo, rename, slice, split, sum, transpose } = shape;
  const b = new Builder();
  const input = inputsOf(b);
  const qkv = input("qkv", "batch token qkv", batch, tokens, 3 * HEADS * width);
  const weight = input("weight", "batch head token width", batch, HEADS, tokens, width);
  const parts = split(b, qkv, { axis: "qkv", into: ["three", "head", "width"], sizes: [3, HEADS, width] });
  const turned = transpose(b, parts, { axes: ["three", "batch", "head", "token", "width"] });
  const [q, k, v] = [0, 1, 2].map((i) => {
    const part = drop(b, slice(b, turned, { axis: "three", from: i, to: i + 1 }), { axis: "three" });
    return i === 0 ? part : rename(b, part, { axes: ["batch", "head", "key", "width"] });
  });
  const raw = dot(b, q, k, { over: ["width"] });
  const scores = mul(b, raw, like(b, raw, width ** -0.5));
  const over = { over: ["key"] };
  const largest = expandTo(b, stopGradient(b, max(b, scores, over)), scores.type);
  const e = exp(b, sub(b, scores, largest));
  const o = dot(b, div(b, e, expandTo(b, sum(b, e, over), scores.type)), v, over);
  const loss = sum(b, mul(b, o, weight), { over: ["batch", "head", "token", "width"] });
  const gradients = b.gradient(loss, [q, k, v]);
  return b.finish(
    "main",
    [o, ...gradients].map((value, i) => ({ name: ["o", "dq", "dk", "dv"][i], value })),
  );
}

/** The two forms: a bundle with what is chosen, and how many dispatches come before the gradients. */
async function formsOf(shape) {
  const fn = await selfAttention(shape);
  const alone = { ...fn, results: fn.results.slice(0, 1) };
  const formOf = (attention) => {
    const kernels = kernelsOf(fn, { attention });
    return { make: (how) => bundleOf(kernels, how), forward: dispatchesOf(bundleOf(kernelsOf(alone, { attention }))).length };
  };
  return { fused: formOf(true), unfused: formOf(false) };
}

const dispatchesOf = ({ program }) => program.entries[0].segments[0].dispatches;

/** For each product the fastest design, as a tuning. */
async function tuned({ make }, dawn, runs) {
  const software = dawn.kind !== "hardware";
  // Tiles in workgroup memory are several times slower where a CPU stands in for a GPU, and long to compile.
  const tried = matmulChoices
    .filter(({ name, onVectors }) => (software ? onVectors || name.startsWith("register") : /^(workgroup|split)/.test(name)))
    .map(({ name }) => name);
  const best = new Map();
  for (const choice of [undefined, "baked", ...tried]) {
    const bundle = make(choice === undefined ? {} : { choices: { matmul: choice } });
    const { session, part } = await opened(bundle, dawn);
    for (const [key, { index, dispatches }] of placesOf(bundle.program, bundle.program.entries[0])) {
      const once = part(index, index + dispatches.length);
      await once();
      const { medianMs } = statistics((await repeat(runs, once)).map(({ ms }) => ms));
      if (medianMs < (best.get(key)?.medianMs ?? Infinity)) best.set(key, { choice, medianMs });
    }
    session.dispose();
  }
  return new Map([...best].flatMap(([key, { choice }]) => (choice === undefined ? [] : [[key, choice]])));
}

/** Rows for the report of ratios. */
export async function attentionJob({ tokens }, runs) {
  const dawn = await requestDevice();
  const rows = [];
  for (const shape of shapes.filter((s) => s.tokens === tokens)) {
    const { fused, unfused } = await formsOf(shape);
    const tuning = await tuned(unfused, dawn, runs);
    const forms = [
      { ...fused, ...(await opened(fused.make({}), dawn)) },
      { ...unfused, ...(await opened(unfused.make({ tuning }), dawn)) },
    ];
    const parts = forms.map(({ forward, part }) => ({ forward: part(0, forward), gradients: part(forward, undefined) }));
    for (const name of ["forward", "gradients"]) {
      const ways = parts.map((part) => part[name]);
      rows.push({
        what: `${tokens} tokens, ${shape.batch} × ${HEADS} heads of ${shape.width}, ${name}`,
        ...(await inTurn(ways, runs)),
        goal: goals[name](tokens),
      });
    }
    for (const { session } of forms) session.dispose();
  }
  return { adapter: dawn.info.description, driver: dawn.kind, ways: ["fused", "unfused, tuned"], rows };
}
