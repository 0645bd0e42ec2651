// What the compiler takes for the products of DiT-S and DiT-B, each design of the matmul, and, in turn with them, the adapter's arithmetic
// ceiling. What part of the ceiling a design reaches is told twice: by the clock, and, on adapters that are a CPU, by the processor time of this
// process, whose own threads do the work there: a machine with other work to do shifts the first and hardly the second, which in turn says
// nothing of idle cores. There, too, a kernel that stores as many results and nothing else: the part of the ceiling that it would reach.
import { fromDist } from "../scripts/dist.mjs";
import { bundleOf, inputsOf, kernelsOf, opened, repeated } from "./module.mjs";
import { DEVICES } from "./ratios.mjs";
import { ms, statistics, table } from "./statistics.mjs";

/** Linear layers as [in, out]. */
const layersOf = (width, patch) => ({
  qkv: [width, 3 * width],
  proj: [width, width],
  fc1: [width, 4 * width],
  fc2: [4 * width, width],
  patch: [4 * patch ** 2, width],
  final: [width, 8 * patch ** 2],
});
const STORING = "stores alone";
/** What runs where nothing is chosen. */
const OWN = "own choice";
/** Tiles of any shape, which the summary is about; a few rows; and a product with something behind it. */
const tiles = [
  OWN,
  "subgroup-tail",
  "subgroup-panel",
  "quad-16x16",
  "quad-32x32",
  "workgroup-64x64",
  "workgroup-32x32-k8",
  "register-4x4",
];
/** The other sizes of workgroup tiles, for a GPU: where a CPU stands in for one, none of them is ever the compiler's choice. */
const sizes = ["workgroup-128x128", "workgroup-64x64-k2", "workgroup-64x32-k4", "workgroup-32x16-k8"];
/** At batch 2 there are 128 rows at patch 4, and 512 at patch 2. */
const models = [
  { name: "S/4", rows: 128, layers: layersOf(384, 4), designs: tiles },
  { name: "S/2", rows: 512, layers: layersOf(384, 2), designs: tiles },
  { name: "B/4", rows: 128, layers: layersOf(768, 4), designs: [OWN] },
  { name: "B/2", rows: 512, layers: layersOf(768, 2), designs: [OWN] },
];
const shapes = [
  ...models.flatMap(({ name, rows, layers, designs }) =>
    Object.entries(layers).flatMap(([kind, [k, n]]) => {
      const layer = `${name} ${kind}`;
      return [
        { model: name, layer, form: "forward", m: rows, n, k, designs },
        { model: name, layer, form: "dX", m: rows, n: k, k: n, designs },
        { model: name, layer, form: "dW", m: n, n: k, k: rows, designs },
      ];
    }),
  ),
  { layer: "adaLN", form: "forward", m: 2, n: 2304, k: 384, designs: ["few-rows", ...tiles] },
  { layer: "adaLN", form: "dX", m: 2, n: 384, k: 2304, designs: ["few-rows", ...tiles] },
  { layer: "adaLN", form: "dW", m: 2304, n: 384, k: 2, designs: tiles },
  { layer: "label", form: "forward", m: 16, n: 384, k: 384, designs: ["few-rows", ...tiles] },
  { layer: "fc1, gelu", form: "forward", m: 128, n: 1536, k: 384, gelu: true, designs: ["subgroup-inline", ...tiles] },
];
/** Least work of one submit, of which several are timed: on a CPU that stands in for a GPU, and on a GPU. */
const FLOP = { software: 1e8, hardware: 2e10 };

export async function matmulJob(runs) {
  const [{ requestDevice }, { fmaCeiling }, bundleOf] = await Promise.all([
    ...["runtime/node/dawn.js", "profiler/ceilings.js"].map(fromDist),
    bundler(),
  ]);
  // All at once, so that what is made for each lies elsewhere.
  const dawns = [await requestDevice()];
  const [{ kind, info }] = dawns;
  while (kind !== "hardware" && dawns.length < DEVICES) dawns.push(await requestDevice());
  const ceilings = [];
  for (const { device } of dawns) ceilings.push(await fmaCeiling(device));
  const atMost = fastestOf(ceilings, dawns);
  const found = shapes.map((shape) => ({ shape, candidates: new Map() }));
  // Where several devices share the runs, one more on each: a slow one has no more than its part of them.
  const rounds = Math.ceil(runs / dawns.length) + (dawns.length > 1 ? 1 : 0);
  for (const [i, dawn] of dawns.entries())
    for (const { shape, candidates } of found) {
      await timeInTurn([atMost, ...(await candidatesOf(shape, dawn, bundleOf))], candidates, rounds);
      const device = dawns.length > 1 ? `, device ${i + 1} of ${dawns.length}` : "";
      console.error(`  ${shape.layer} ${shape.form} ${shape.m} × ${shape.n} × ${shape.k}${device}`);
    }
  const results = found.map(({ shape: { designs: _, ...what }, candidates }) => ({
    ...what,
    ...partsOfCeiling([...candidates.values()], kind !== "hardware"),
  }));
  return { adapter: info.description, driver: kind, shapes: results };
}

/** The arithmetic ceiling: where it runs on several devices the fastest of them, because it is a kernel like any other that may be slow on one. */
function fastestOf(ceilings, dawns) {
  const runs = ceilings.map((ceiling, i) => {
    const idle = () => dawns[i].device.queue.onSubmittedWorkDone();
    const run = repeated({ submit: () => void ceiling.run(), idle });
    return async () => {
      const { ms, cpuMs } = await run();
      return { ms: ms / ceiling.flops, cpuMs: cpuMs / ceiling.flops };
    };
  });
  const run = async () => {
    const times = [];
    for (const one of runs) times.push(await one());
    return times.reduce((best, time) => (time.ms < best.ms ? time : best));
  };
  return { name: "ceiling", flop: 1, run };
}

/** All that this device can run of what is held against the ceiling, warm. */
async function candidatesOf(shape, dawn, bundleOf) {
  const { isOfDesign } = await fromDist("codegen/kernels/matmul.js");
  const hardware = dawn.kind === "hardware";
  const flop = 2 * shape.m * shape.n * shape.k;
  const repeat = Math.max(1, Math.round(FLOP[hardware ? "hardware" : "software"] / flop));
  const idle = () => dawn.device.queue.onSubmittedWorkDone();
  const candidates = [];
  if (!hardware)
    candidates.push({ name: STORING, flop, run: repeated({ submit: await storing(dawn, shape, repeat), idle }, repeat) });
  for (const name of hardware ? [...shape.designs, ...sizes] : shape.designs) {
    const bundle = bundleOf(shape, name, repeat);
    const start = performance.now();
    const { session, whole } = await opened(bundle, dawn);
    const firstMs = performance.now() - start;
    // The design may not suit the shape, or this adapter may not be able to run it.
    if (name === OWN || isOfDesign(session.variants[0].variant, name))
      candidates.push({ name, flop, run: repeated(whole, repeat), firstMs, session });
    else session.dispose();
  }
  // To find how many submits take long enough.
  for (const { run } of [...candidates, ...candidates]) await run();
  return candidates;
}

/** So many rounds, added to those that are `found` by the candidates' names. */
async function timeInTurn(candidates, found, rounds) {
  for (const { name, flop, firstMs } of candidates) if (!found.has(name)) found.set(name, { name, flop, firstMs, times: [] });
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < candidates.length; i++) {
      const { name, run } = candidates[(round + i) % candidates.length];
      found.get(name).times.push(await run());
    }
  }
  for (const { session } of candidates) session?.dispose();
}

/** A clock may change its rate at any time: each round is held against its own ceiling. */
function partsOfCeiling(candidates, software) {
  const median = (values) => statistics(values).medianMs;
  const [atMost] = candidates;
  const part = (c, key) => median(c.times.map((t, i) => (c.flop / t[key]) * (atMost.times[i][key] / atMost.flop)));
  const [ceiling, ...designs] = candidates.map((c) => {
    const { medianMs, spread } = statistics(c.times.map(({ ms }) => ms));
    return {
      name: c.name,
      gflopPerSecond: c.flop / medianMs / 1e6,
      ...(software ? { gflopPerCpuSecond: c.flop / median(c.times.map(({ cpuMs }) => cpuMs)) / 1e6 } : {}),
      spread,
      ...(c.firstMs === undefined ? {} : { firstMs: c.firstMs }),
      ...(c === atMost ? {} : { ofCeiling: part(c, "ms"), ...(software ? { ofCeilingCpu: part(c, "cpuMs") } : {}) }),
    };
  });
  return { ceiling, designs };
}

/** Zeros in place of the product: tiles of 32 × 32 results by eight lanes, in the order and the loop of the subgroup form. */
async function storing({ device, globals }, { m, n }, repeat) {
  const columns = Math.ceil(n / 32);
  const code = `
    @group(0) @binding(0) var<storage, read_write> results: array<vec4f>;
    @compute @workgroup_size(8)
    fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
      let column = group.x % ${columns} * 8 + lane;
      let first = group.x / ${columns} * 32;
      if (column < ${n / 4}) {
        for (var row = first; row < min(first + 32, ${m}); row++) {
          results[row * ${n / 4} + column] = vec4f();
        }
      }
    }`;
  const buffer = device.createBuffer({ size: 4 * m * n, usage: globals.GPUBufferUsage.STORAGE });
  const module = device.createShaderModule({ code });
  const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute: { module } });
  const group = device.createBindGroup({
    layout: pipeline.getBindGroupLayout(0),
    entries: [{ binding: 0, resource: { buffer } }],
  });
  return () => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    for (let i = 0; i < repeat; i++) pass.dispatchWorkgroups(columns * Math.ceil(m / 32));
    pass.end();
    device.queue.submit([encoder.finish()]);
  };
}

const percent = (part) => (part === undefined ? "" : `${Math.round(100 * part)} %`);

/** A row for each shape and design, then the summary. */
export function matmulReport({ driver, shapes: results }) {
  const rows = results.flatMap(({ layer, form, m, n, k, ceiling, designs }) => [
    [layer, form, `${m} × ${n} × ${k}`, "ceiling", ceiling.gflopPerSecond.toPrecision(3), "", "", percent(ceiling.spread), ""],
    ...designs.map((d) => [
      layer,
      form,
      `${m} × ${n} × ${k}`,
      d.name,
      d.gflopPerSecond.toPrecision(3),
      percent(d.ofCeiling),
      percent(d.ofCeilingCpu),
      percent(d.spread),
      ms(d.firstMs),
    ]),
  ]);
  const head = ["layer", "form", "M × N × K", "design", "GFLOP/s", "of ceiling", "by CPU", "spread", "first ms"];
  const whole = summary(results).map(({ name, shapes: count, of, clock, cpu }) => [
    name,
    `${count} of ${of}`,
    percent(clock?.median),
    percent(clock?.lowest),
    percent(cpu?.median),
    percent(cpu?.lowest),
  ]);
  const title = ["design", "shapes", "median", "lowest", "median by CPU", "lowest by CPU"];
  return `matmul on ${driver}\n\n${table([head, ...rows])}\n\nPart of the ceiling over the layers of ${models.map(({ name }) => `DiT-${name}`).join(", ")} at batch 2:\n${table([title, ...whole])}`;
}

/** Median and lowest part of the ceiling over the layers' shapes that a design can take. */
function summary(results) {
  const plain = results.filter(({ model }) => model);
  const found = new Set(plain.flatMap(({ designs }) => designs.map(({ name }) => name)));
  return [...tiles, ...sizes.filter((name) => found.has(name))].map((name) => {
    const mine = plain.flatMap(({ designs }) => designs.filter((d) => d.name === name));
    const over = (key) => {
      const { medianMs: median, minMs: lowest } = statistics(mine.map((d) => d[key]));
      return { median, lowest };
    };
    const cpu = mine[0]?.ofCeilingCpu === undefined ? {} : { cpu: over("ofCeilingCpu") };
    const of = shapes.filter(({ model, designs }) => model && (designs.includes(name) || sizes.includes(name))).length;
    return { name, shapes: mine.length, of, ...(mine.length > 0 ? { clock: over("ofCeiling") } : {}), ...cpu };
  });
}

/** One product, run `repeat` times a submit. */
async function bundler() {
  const paths = ["builder", "ops/contract", "ops/elementwise", "ops/activations", "ops/shape"];
  const [{ Builder }, { dot }, { add }, { gelu }, { expandTo }] = await Promise.all(
    paths.map((path) => fromDist(`ir/${path}.js`)),
  );
  return ({ form, m, n, k, gelu: ending }, choice, repeat) => {
    const b = new Builder();
    const input = inputsOf(b);
    const x =
      form === "dW"
        ? dot(b, input("a", "k m", k, m), input("b", "k n", k, n), { over: ["k"] })
        : dot(b, input("a", "m k", m, k), form === "dX" ? input("b", "k n", k, n) : input("b", "n k", n, k), { over: ["k"] });
    const results = [{ name: "y", value: x }];
    if (ending) {
      results[0].value = add(b, x, expandTo(b, input("bias", "n", n), x.type));
      results.push({ name: "gelu", value: gelu(b, results[0].value) });
    }
    return bundleOf(kernelsOf(b.finish("main", results)), { repeat, ...(choice === OWN ? {} : { choices: { matmul: choice } }) });
  };
}
