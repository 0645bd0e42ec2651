// Our own program, loaded, as every program is asked to work: what Node and a page share.

/** Inputs that are our own: { x_start, y, t, noise … } as a task has them. */
export function sessionForward(session, task) {
  const inputs = { x: task.inputs.get("x").data, t: task.inputs.get("t").data, y: task.inputs.get("y").data };
  return { run: async () => (await session.run("forward", inputs)).out };
}

export function sessionTrain(session, task) {
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

export async function writeWeights(session, task) {
  for (const [name, { data }] of task.weights) await session.write(name, data);
}
