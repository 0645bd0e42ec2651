// The curve of memory against work: what a training step takes with ever more of its forward computed again in the backward.

/** Every point that is worth having, { bytes, work, values }: work is a share of the step's own. `from` gives the compiler's parts. */
export async function memoryCurve(from, { model, preset, batch, entry = "train_step", points = Infinity }) {
  const [{ compile }, { Points }, { targetProfile }] = await Promise.all([
    from("compile/compile.js"),
    from("compile/fit-memory.js"),
    from("compile/target.js"),
  ]);
  let fused;
  const options = { preset, batch, entries: [entry] };
  await compile(model, { ...options, after: (pass, module) => pass === "fuse" && (fused = module) });
  const profile = targetProfile("web");
  const schedules = [{ name: entry, segments: [{ fn: entry, repeat: 1 }] }];
  const { maxStorageBufferBindingSize: maxBinding, maxStorageBuffersPerShaderStage: maxStorageBuffers } = profile.limits;
  const lowering = { batch, variants: true, safe: false, choices: {}, maxBinding, maxStorageBuffers };
  const began = performance.now();
  const way = new Points(fused, schedules, lowering, profile);
  const choices = way.choices;
  const searched = performance.now() - began;
  const found = [];
  for (const choice of thinned(choices, points)) {
    const bytes = way.bytes(choice);
    if (found.some((other) => other.bytes <= bytes)) continue;
    found.push({ bytes, model: choice.bytes, work: way.share(choice), values: choice.recomputation.values.length });
  }
  return { points: found, choices: choices.length, searched };
}

/** About so many of the choices, evenly by the memory that they take. */
function thinned(choices, points) {
  const span = choices[0].bytes - Math.min(...choices.map((c) => c.bytes));
  let next = Infinity;
  return choices.filter((choice, i) => {
    if (i < choices.length - 1 && choice.bytes > next) return false;
    next = choice.bytes - span / points;
    return true;
  });
}
