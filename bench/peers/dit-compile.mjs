// Our own program, measured by the same rules as the others. Compiling is done ahead, as for a page that loads a bundle.
import { join } from "node:path";
import { fromDist, root } from "../../scripts/dist.mjs";
import { entryOf } from "./works.mjs";

const { compile } = await fromDist("compile/compile.js");
const { createSession } = await fromDist("runtime/session.js");
const { requestDevice } = await fromDist("runtime/node/dawn.js");

/** A compiled work: to be made before the clock runs. */
export async function ahead({ preset, batch, set, kind }) {
  const { bundle } = await compile(join(root, "models/dit.graph.ts"), { preset, batch, set, entries: [entryOf[kind]] });
  return bundle;
}

export async function forward(task, bundle) {
  const session = await load(task, bundle);
  const inputs = { x: task.inputs.get("x").data, t: task.inputs.get("t").data, y: task.inputs.get("y").data };
  return { run: async () => (await session.run("forward", inputs)).out };
}

export async function train(task, bundle) {
  const session = await load(task, bundle);
  const given = (name) => task.inputs.get(name).data;
  const inputs = {
    ...{ x_start: given("x_start"), y: given("y"), "draw.t": given("t"), "draw.noise": given("noise") },
    "draw.drop": new Int32Array(task.batch),
  };
  const names = [...task.weights.keys()].filter((name) => !task.fixed.includes(name));
  return {
    // As the trainer does: the loss alone is read back. `run` would read weights, moments and averages, too, which are state.
    step: async () => {
      await session.submit("train_step", inputs);
      return (await session.read(["train_step.loss"]))["train_step.loss"][0];
    },
    // After one step from nothing, the first moment is (1 - beta1) times the gradient.
    gradients: async () => {
      const moments = await session.read(names.map((name) => `m.${name}`));
      return new Map(names.map((name) => [name, moments[`m.${name}`].map((m) => m / (1 - task.beta1))]));
    },
  };
}

async function load(task, bundle) {
  const { device } = await requestDevice();
  const session = await createSession(bundle, device, { batch: task.batch });
  for (const [name, { data }] of task.weights) await session.write(name, data);
  return session;
}
