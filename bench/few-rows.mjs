// Products of few rows, which are nothing but reading weights: held against a plain kernel that reads the same bytes once and adds them up.
import { readFileSync } from "node:fs";
import { fromDist } from "../scripts/dist.mjs";
import { bundleOf, inputsOf, kernelsOf, opened, repeated } from "./module.mjs";
import { inTurn } from "./ratios.mjs";

const ROWS = 2;
/** Of DiT-S at batch 2: the modulations of all blocks as one product, the two layers of the timestep's MLP, the final layer's modulation. */
const shapes = [
  { what: "modulations", n: 28416, k: 384 },
  { what: "timestep, first", n: 384, k: 256 },
  { what: "timestep, second", n: 384, k: 384 },
  { what: "final modulation", n: 768, k: 384 },
];
const GOAL = 1.5;
/** Bytes to read in one submit, so that starting it costs little beside them. */
const BYTES = 16e6;

/** x · Wᵀ, as a layer is, and what its gradient takes through the layer, dy · W. */
async function products({ n, k }) {
  const [{ Builder }, { dot }] = await Promise.all(["ir/builder.js", "ir/ops/contract.js"].map(fromDist));
  const made = (axis, size, weights) => {
    const b = new Builder();
    const input = inputsOf(b);
    const y = dot(b, input("x", `row ${axis}`, ROWS, size), input("w", weights, n, k), { over: [axis] });
    return b.finish("main", [{ name: "y", value: y }]);
  };
  return { forward: made("in", k, "out in"), backward: made("out", n, "out in") };
}

/** Reads so many bytes once, `repeat` times a submit; a thread for every 16 vectors. */
async function plainSum({ device, globals }, bytes, repeat) {
  const { STORAGE } = globals.GPUBufferUsage;
  const code = readFileSync(new URL("./sum.wgsl", import.meta.url), "utf8");
  const module = device.createShaderModule({ code });
  const pipeline = await device.createComputePipelineAsync({ layout: "auto", compute: { module } });
  // All of these weights are whole groups.
  const groups = bytes / 16 / 16 / 64;
  const buffers = [bytes, 4 * 64 * groups].map((size) => device.createBuffer({ size, usage: STORAGE }));
  const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
  const group = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries });
  const submit = async () => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, group);
    for (let i = 0; i < repeat; i++) pass.dispatchWorkgroups(groups);
    pass.end();
    device.queue.submit([encoder.finish()]);
  };
  return { submit, idle: () => device.queue.onSubmittedWorkDone() };
}

/** Rows for the report of ratios. */
export async function fewRowsJob(runs) {
  const { requestDevice } = await fromDist("runtime/node/dawn.js");
  const dawn = await requestDevice();
  const rows = [];
  for (const shape of shapes) {
    const bytes = 4 * shape.n * shape.k;
    const repeat = Math.max(1, Math.round(BYTES / bytes));
    const plain = repeated(await plainSum(dawn, bytes, repeat), repeat);
    for (const [form, fn] of Object.entries(await products(shape))) {
      const { session, whole } = await opened(bundleOf(kernelsOf(fn), { repeat }), dawn);
      const found = await inTurn([repeated(whole, repeat), plain], runs);
      const { variant } = session.variants[0];
      rows.push({ what: `${shape.what}, ${form}: ${ROWS} × ${shape.n} × ${shape.k}, ${variant}`, ...found, goal: GOAL });
      session.dispose();
    }
  }
  return { adapter: dawn.info.description, driver: dawn.kind, ways: ["product", "weights read once"], rows };
}
