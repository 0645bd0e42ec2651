/**
 * Who made the first bad value: a step that was not finite has changed nothing, so it can be run again, a kernel at a time, and what each
 * kernel wrote be read and looked at. The first one with a NaN or an infinity in it is named, with its op and its line of the model.
 *
 * First come the weights, the moments and the inputs themselves. Then the step runs in a program of one op a kernel, in which the label of
 * a kernel says all that it does; where that shows nothing (it rounds otherwise), or does not fit, in the program that trained.
 */
import { fromHalves } from "../program/half.js";
import { type Bundle, type Dispatch, type Entry, type Kernel, SQUARES_BESIDE } from "../program/program.js";
import type { Inputs } from "../runtime/inputs.js";
import type { Session } from "../runtime/session.js";
import { Trainer, trainEntry } from "./trainer.js";

export interface BadStep {
  readonly device: GPUDevice;
  readonly batch: number;
  /** The program that trained. */
  readonly bundle: Bundle;
  /** The same model and settings compiled with `fused: false`. */
  readonly unfused?: (() => Promise<Bundle>) | undefined;
  /** The state before the step, as `Trainer.snapshot` gives it. */
  readonly state: ReadonlyMap<string, Float32Array | Int32Array>;
  /** Of each batch of the step. */
  readonly inputs: readonly Inputs[];
}

/** How much of a tensor is not finite. */
export interface Bad {
  readonly bad: number;
  readonly of: number;
  /** The first such element, row-major, and its value. */
  readonly first: number;
  readonly value: number;
}

export type Finding =
  /** It was there before the step. */
  | ({ readonly kind: "given"; readonly what: string } & Bad)
  | ({
      readonly kind: "made";
      readonly entry: string;
      /** Number of the batch in its step, from 0. */
      readonly batch: number;
      /** Position in the entry's flat list, and what is there. */
      readonly dispatch: number;
      readonly label: string;
      /** `file:line:column` in the model; undefined for what the objective and the optimizer compute. */
      readonly place: string | undefined;
      /** What it read, all of it finite, with the largest magnitude where that is still in memory. */
      readonly reads: readonly { readonly name: string; readonly largest: number | undefined }[];
      readonly fused: boolean;
    } & Bad);

/** The first value of a step that is not finite; undefined when, run again, all are. */
export async function findNonFinite(step: BadStep): Promise<Finding | undefined> {
  const given = badState(step.state) ?? badInput(step.inputs);
  if (given) return given;
  return (await fitting(step, step.unfused)) ?? (await firstBad(step, step.bundle, true));
}

/** As sentences for people. */
export function sentencesOf(found: Finding | undefined): string[] {
  if (!found) return ["run again, a kernel at a time, the step was finite"];
  const { bad, of, first, value } = found;
  const much = of === 1 ? "" : ` at element ${first}; ${bad} of ${of} are not finite`;
  if (found.kind === "given") return [`${found.what} has ${value}${much}`];
  const { label, place, reads, entry, dispatch, batch, fused } = found;
  const where = place === undefined ? `"${label}", which is in the objective or the optimizer` : `"${label}"`;
  const names = reads.map(({ name, largest }) => (largest === undefined ? name : `${name} (at most ${short(largest)})`));
  return [
    `the first bad value: ${where}, gave ${value}${much}`,
    `it read ${names.length === 0 ? "nothing" : names.join(", ")}: all finite`,
    `dispatch ${dispatch} of ${entry}${batch > 0 ? `, batch ${batch}` : ""}${fused ? "" : ", compiled with one op a kernel"}`,
  ];
}

const short = (x: number): string => String(Number(x.toPrecision(3)));

const setNames: Readonly<Record<string, string>> = {
  p: "weight",
  m: "first moment of",
  v: "second moment of",
  ema: "average of",
};

function badState(state: BadStep["state"]): Finding | undefined {
  for (const [name, data] of state) {
    const bad = data instanceof Float32Array ? badIn(data) : undefined;
    const [set, key] = [name.slice(0, name.indexOf(".")), name.slice(name.indexOf(".") + 1)];
    if (bad) return { kind: "given", what: `${setNames[set] ?? "state"} "${key}"`, ...bad };
  }
  return undefined;
}

function badInput(inputs: readonly Inputs[]): Finding | undefined {
  for (const [batch, named] of inputs.entries()) {
    for (const [name, data] of Object.entries(named)) {
      const bad = badIn(Float32Array.from(data as ArrayLike<number>));
      if (bad) return { kind: "given", what: `input "${name}"${batch > 0 ? ` of batch ${batch}` : ""}`, ...bad };
    }
  }
  return undefined;
}

export function badIn(data: Float32Array): Bad | undefined {
  let [bad, first] = [0, -1];
  for (let i = 0; i < data.length; i++) {
    if (Number.isFinite(data[i])) continue;
    if (bad++ === 0) first = i;
  }
  return bad === 0 ? undefined : { bad, of: data.length, first, value: data[first]! };
}

/** In a program that need not fit the device beside the one that trains. */
async function fitting(step: BadStep, compile: BadStep["unfused"]): Promise<Finding | undefined> {
  if (!compile) return undefined;
  try {
    return await firstBad(step, await compile(), false);
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === "DIT6003") return undefined;
    throw error;
  }
}

/** Runs the step in memory of its own, which begins as zeros: no value of another run is there to be taken for one of this. */
async function firstBad({ device, batch, state, inputs }: BadStep, bundle: Bundle, fused: boolean): Promise<Finding | undefined> {
  const weights = bundle.program.parameters.map(({ name }) => [name, state.get(`p.${name}`) as Float32Array] as const);
  const trainer = await Trainer.create(bundle, device, { batch, seed: 0, weights: new Map(weights) });
  try {
    await trainer.restore(state);
    const entry = trainEntry(bundle);
    const update = entry.name === "accumulate" ? bundle.program.entries.find(({ name }) => name === "update") : undefined;
    const runs = [...inputs.map((given) => ({ entry, given })), ...(update ? [{ entry: update, given: {} }] : [])];
    for (const [i, run] of runs.entries()) {
      const found = await firstBadOf(trainer.session, bundle, run.entry, run.given);
      if (found) return { kind: "made", ...found, entry: run.entry.name, batch: run.entry === entry ? i : 0, fused };
    }
    return undefined;
  } finally {
    trainer.dispose();
  }
}

async function firstBadOf(session: Session, bundle: Bundle, { name: entry, segments }: Entry, inputs: Inputs) {
  const { kernels, storages } = bundle.program;
  const floats = async (id: number) => {
    const bytes = await session.readStorage(id);
    return storages[id]!.dtype === "f16" ? fromHalves(bytes, bytes.byteLength >> 1) : new Float32Array(bytes);
  };
  for (const [i, dispatch] of segments.flatMap(({ dispatches }) => dispatches).entries()) {
    await session.submit(entry, i === 0 ? inputs : undefined, { from: i, until: i + 1 });
    const kernel = kernels[dispatch.kernel]!;
    const isFloat = floatBindings(bundle, kernel);
    const bindings = dispatch.bindings.map((id, k) => ({ id, float: isFloat[k]!, effect: kernel.effects?.[k] ?? "update" }));
    for (const written of bindings) {
      const looked = written.float && written.effect !== "read" && storages[written.id]!.name !== SQUARES_BESIDE;
      const bad = looked ? badIn(await floats(written.id)) : undefined;
      if (!bad) continue;
      const reads = [];
      for (const { id, float, effect } of bindings.filter((b) => b.float && b.effect !== "write")) {
        const largest = float && effect === "read" ? (await floats(id)).reduce((a, x) => Math.max(a, Math.abs(x)), 0) : undefined;
        const { name } = storages[id]!;
        reads.push({ name: name.startsWith(`${entry}.`) ? name.slice(entry.length + 1) : name, largest });
      }
      return { dispatch: i, label: dispatch.label, place: placeOf(dispatch), reads, ...bad };
    }
  }
  return undefined;
}

const placeOf = ({ label }: Dispatch): string | undefined => / @ (.+:\d+:\d+)$/.exec(label)?.[1];

/** Which bindings hold f32 or f16: the kernel's text says so. */
function floatBindings({ wgsl }: Bundle, { variants, access }: Kernel): boolean[] {
  const text = wgsl[variants.at(-1)!.file]!;
  return access.map((_, i) => new RegExp(`@binding\\(${i}\\) var<storage[^>]*> \\w+: array<(f32|vec4f|f16|vec4h)>`).test(text));
}
