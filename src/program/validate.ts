/**
 * The gate that every Program passes before it is run: `validate` for what it is made of, `validateLayout` (rules.ts) for where its
 * memory lies. Both return sentences; an empty list means that the program may run. Whoever calls makes an error of them.
 */
import { HEADER_WORDS } from "./grid.js";
import { ALIGNMENT } from "./pack.js";
import { FORMAT, type Kernel, type Port, type Program, VERSION } from "./program.js";
import { evaluate, product, type Size } from "./size.js";
import { hasProgramStructure, type Say } from "./structure.js";

export { validateLayout } from "./rules.js";

/** More sentences than this help nobody. */
const MOST_PROBLEMS = 20;
/** Nor does a longer one: names in it are a stranger's. */
const LONGEST = 300;
/** Batches at which sizes are tried: where a polynomial turns negative or fractional, it mostly does so here. */
const SAMPLE_BATCHES = [1, 2, 3, 64];

/** WGSL by file name. */
export type Texts = Readonly<Record<string, string>>;

/**
 * Checks a program from anywhere, and whether the WGSL texts and the length of constants.bin that came with it are what it needs (left
 * out: not looked at yet). The result lists what is wrong; when it is empty, `value` is a Program.
 */
export function validate(value: unknown, wgsl?: Texts, constantsBytes?: number): string[] {
  const problems: string[] = [];
  const say: Say = (problem) => {
    if (problems.length === MOST_PROBLEMS) return;
    problems.push(problem.length > LONGEST ? `${problem.slice(0, LONGEST - 3)}...` : problem);
  };
  const head = value as Partial<Program> | null;
  if (typeof head !== "object" || head === null || head.format !== FORMAT) return [`this is not a "${FORMAT}"`];
  const { major, minor } = head.version ?? {};
  if (!Number.isInteger(major) || !Number.isInteger(minor)) return ["version is missing, expected { major, minor }"];
  if (major! > VERSION.major) {
    return [`the program has format version ${major}.${minor}, this runtime reads up to ${VERSION.major}: use a newer runtime`];
  }
  if (!hasProgramStructure(value, say)) return problems;

  const program = value as Program;
  checkStorages(program, say);
  program.kernels.forEach((kernel, i) => {
    checkKernel(kernel, `kernels[${i}] "${kernel.name}"`, program, wgsl, say);
  });
  checkTables(program, constantsBytes, say);
  checkNames(
    program.entries.map((entry) => entry.name),
    "entry",
    say,
  );
  for (const entry of program.entries) {
    for (const port of [...entry.inputs, ...entry.outputs]) checkPort(port, entry.name, program, say);
    checkNames(
      entry.inputs.map((port) => port.name),
      `input of ${entry.name}`,
      say,
    );
    checkNames(
      entry.outputs.map((port) => port.name),
      `output of ${entry.name}`,
      say,
    );
    checkDispatches(program, entry.name, say);
  }
  return problems;
}

function checkNames(names: readonly string[], what: string, say: Say): void {
  const seen = new Set<string>();
  for (const name of names) {
    if (seen.has(name)) say(`two of the same name: ${what} "${name}"`);
    seen.add(name);
  }
}

/** Bytes that are whole numbers at every batch, and names that tell storages apart wherever a caller uses them. */
function checkStorages(program: Program, say: Say): void {
  program.storages.forEach((storage, i) => {
    const at = `storages[${i}] ${storage.kind} "${storage.name}"`;
    for (const batch of SAMPLE_BATCHES) {
      const bytes = evaluate(storage.bytes, batch);
      if (Number.isSafeInteger(bytes) && bytes >= 0) continue;
      say(`${at} has ${bytes} bytes at batch ${batch}`);
      break;
    }
    if (storage.entry !== undefined && !program.entries.some((entry) => entry.name === storage.entry)) {
      say(`${at} belongs to "${storage.entry}", which is no entry`);
    }
    checkPart(program, i, at, say);
    if (storage.kind === "activation" && storage.entry === undefined) say(`${at} does not say which entry it belongs to`);
  });
  for (const kind of ["parameter", "moment1", "moment2", "ema", "accumulator", "state", "constant"] as const) {
    checkNames(
      program.storages.filter((storage) => storage.kind === kind).map((storage) => storage.name),
      kind,
      say,
    );
  }
}

/** A part is of its whole's kind, aligned, inside it, and the whole is no part itself. */
function checkPart(program: Program, id: number, at: string, say: Say): void {
  const part = program.storages[id]!;
  if (!part.within) return;
  const whole = program.storages[part.within.storage];
  if (!whole) say(`${at} is a part of storage ${part.within.storage}, there are ${program.storages.length}`);
  else if (whole.kind !== part.kind || whole.within)
    say(`${at} is a part of ${whole.kind} "${whole.name}", which cannot have it`);
  else {
    for (const batch of SAMPLE_BATCHES) {
      const offset = evaluate(part.within.offset, batch);
      if (offset % ALIGNMENT === 0 && offset >= 0 && offset + evaluate(part.bytes, batch) <= evaluate(whole.bytes, batch))
        continue;
      say(
        `${at} begins at byte ${offset} of "${whole.name}" at batch ${batch}: not a multiple of ${ALIGNMENT}, or it does not end inside`,
      );
      break;
    }
  }
}

function checkKernel(kernel: Kernel, at: string, program: Program, wgsl: Texts | undefined, say: Say): void {
  if (kernel.words % 4 !== 0) say(`${at} has ${kernel.words} uniform words, expected a multiple of 4`);
  const most = (program.profile.limits.maxUniformBufferBindingSize ?? 65536) / 4;
  if (kernel.words < HEADER_WORDS || kernel.words > most) {
    say(`${at} has ${kernel.words} uniform words, expected ${HEADER_WORDS} to ${most}`);
  }
  const buffers = program.profile.limits.maxStorageBuffersPerShaderStage ?? 8;
  if (kernel.access.length > buffers) say(`${at} binds ${kernel.access.length} storages, the profile allows ${buffers}`);
  kernel.effects?.forEach((effect, i) => {
    if (effect !== "read" && kernel.access[i] === "read") say(`${at} says that it ${effect}s binding ${i}, which is bound read`);
  });
  if (kernel.effects && kernel.effects.length !== kernel.access.length) {
    say(`${at} has ${kernel.effects.length} effects for ${kernel.access.length} bindings`);
  }
  for (const variant of kernel.variants) {
    if (wgsl && !Object.hasOwn(wgsl, variant.file))
      say(`${at} variant "${variant.name}" needs the file ${variant.file}, which is missing`);
    const rank = kernel.variants[0]!.tile.length;
    if (variant.tile.length !== rank)
      say(`${at} variant "${variant.name}" has a tile of rank ${variant.tile.length}, not ${rank}`);
  }
  const { features, matrix, subgroupSize, limits, hardware } = kernel.variants.at(-1)!.requires;
  if (
    features?.length ||
    matrix ||
    subgroupSize !== undefined ||
    Object.keys(limits ?? {}).length > 0 ||
    hardware !== undefined
  ) {
    say(
      `${at}: its last variant "${kernel.variants.at(-1)!.name}" requires something of the device, so it may have none that runs`,
    );
  }
}

/** Parameters and constants: storages of the right kind and size. */
function checkTables(program: Program, constantsBytes: number | undefined, say: Say): void {
  const stored = (at: string, id: number, kind: string, elements: number) => {
    const storage = program.storages[id];
    if (!storage) say(`${at} lies in storage ${id}, there are ${program.storages.length}`);
    else if (storage.kind !== kind) say(`${at} lies in storage ${id}, which is of kind ${storage.kind}, not ${kind}`);
    // Half-precision storages hold two elements in a word.
    else if (evaluate(storage.bytes, 1) < elements * 2) {
      say(`${at} has ${elements} elements, its storage ${JSON.stringify(storage.bytes)} bytes`);
    }
  };
  const elements = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
  program.parameters.forEach(({ name, shape, storage, init }, i) => {
    stored(`parameters[${i}] "${name}"`, storage, "parameter", elements(shape));
    if (init.rule === "table" && !program.constants.some((constant) => constant.name === init.constant)) {
      say(`parameters[${i}] "${name}" starts as the constant "${init.constant}", which does not exist`);
    }
  });
  program.constants.forEach(({ name, shape, offset, storage }, i) => {
    const at = `constants[${i}] "${name}"`;
    if (storage !== undefined) stored(at, storage, "constant", elements(shape));
    if (offset % 4 !== 0) say(`${at} starts at byte ${offset} of constants.bin, expected a multiple of 4`);
    const end = offset + elements(shape) * 4;
    if (constantsBytes !== undefined && end > constantsBytes) {
      say(`${at} ends at byte ${end} of constants.bin, which has ${constantsBytes}`);
    }
  });
  checkNames(
    program.parameters.map((parameter) => parameter.name),
    "parameter",
    say,
  );
  checkNames(
    program.constants.map((constant) => constant.name),
    "constant",
    say,
  );
}

function checkPort(port: Port, entry: string, program: Program, say: Say): void {
  const at = `${entry}: ${port.kind} "${port.name}"`;
  if (port.axes.length !== port.shape.length) say(`${at} has ${port.axes.length} axes and ${port.shape.length} sizes`);
  const storage = program.storages[port.storage];
  if (!storage) {
    say(`${at} lies in storage ${port.storage}, there are ${program.storages.length}`);
    return;
  }
  // Weights, moments and their average are state to an entry that updates them, and a result may lie where it is kept.
  const carried: readonly string[] = ["state", "parameter", "moment1", "moment2", "ema", "accumulator"];
  const kinds = port.kind === "output" ? ["output", ...carried] : port.kind === "state" ? carried : [port.kind];
  if (!kinds.includes(storage.kind)) say(`${at} lies in a storage of kind ${storage.kind}`);
  const needed: Size = product([...port.shape, 4]);
  for (const batch of SAMPLE_BATCHES) {
    const [have, need] = [evaluate(storage.bytes, batch), evaluate(needed, batch)];
    // Weights may be stored in half precision.
    if (have >= need || (port.kind === "parameter" && have >= need / 2)) continue;
    say(`${at} needs ${need} bytes at batch ${batch}, its storage has ${have}`);
    break;
  }
}

function checkDispatches(program: Program, entryName: string, say: Say): void {
  const entry = program.entries.find(({ name }) => name === entryName)!;
  for (const { label, kernel: id, bindings, uniforms, extent, work } of entry.segments.flatMap((segment) => segment.dispatches)) {
    const at = `${entryName}: "${label}"`;
    const kernel = program.kernels[id];
    if (!kernel) {
      say(`${at} runs kernel ${id}, there are ${program.kernels.length}`);
      continue;
    }
    if (bindings.length !== kernel.access.length) {
      say(`${at} binds ${bindings.length} storages, kernel "${kernel.name}" has ${kernel.access.length}`);
    }
    const missing = bindings.find((binding) => binding >= program.storages.length);
    if (missing !== undefined) say(`${at} binds storage ${missing}, there are ${program.storages.length}`);
    if (uniforms.length > kernel.words - HEADER_WORDS) {
      say(`${at} has ${uniforms.length} words, kernel "${kernel.name}" has room for ${kernel.words - HEADER_WORDS}`);
    }
    if (extent.length !== kernel.variants[0]!.tile.length) {
      say(`${at} has an extent of rank ${extent.length}, the tiles of "${kernel.name}" have ${kernel.variants[0]!.tile.length}`);
    }
    const bad = extent.find((size) => SAMPLE_BATCHES.some((batch) => evaluate(size, batch) < 0));
    if (bad !== undefined) say(`${at} has a negative extent ${JSON.stringify(bad)}`);
    for (const key of ["macs", "flops", "read", "written"] as const) {
      if (SAMPLE_BATCHES.every((batch) => evaluate(work[key], batch) >= 0)) continue;
      say(`${at} has negative work: ${key} ${JSON.stringify(work[key])}`);
    }
  }
}
