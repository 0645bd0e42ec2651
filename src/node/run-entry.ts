/**
 * One run of one entry, from named tensors to named tensors: what `dit-compile run` does with its files. The names are the entry's own.
 * All that does not fit is one error that lists it, before anything is allocated.
 */
import { type Diagnostic, DitError, fail } from "../diagnostics/diagnostic.js";
import { toFloat32 } from "../formats/floats.js";
import type { SafetensorsDtype, StoredTensor, TensorData } from "../formats/safetensors.js";
import type { Bundle, Entry, Port, Program, ScalarType } from "../program/program.js";
import { evaluate } from "../program/size.js";
import { suggestion } from "../runtime/errors.js";
import type { InputData, TypedArray } from "../runtime/inputs.js";
import type { Session, Through } from "../runtime/session.js";
import { type LoadOptions, load } from "./load.js";
import { openWeights, type ReadWeight, writeWeights } from "./weights.js";

export interface RunEntryOptions extends Omit<LoadOptions, "entries"> {
  readonly entry: string;
  readonly inputs: ReadonlyMap<string, StoredTensor>;
  /** Runs it in another way than all at once. */
  readonly through?: Through | undefined;
}

/**
 * Runs an entry. The batch is the one given, else the one that the inputs' shapes say. Weights come from `weights` (state-dict keys) or
 * as `p.<key>` among the inputs; state that is not given starts as training does: moments and step 0, averages as the weights.
 * Errors: DIT7020 with everything that does not fit, and those of `load`.
 */
export async function runEntry(bundle: Bundle, options: RunEntryOptions): Promise<Map<string, StoredTensor>> {
  const { entry: name, inputs, weights, batch: wanted, through, ...rest } = options;
  const { program } = bundle;
  const entry = program.entries.find((candidate) => candidate.name === name);
  if (!entry) {
    fail("DIT7020", `the bundle has no entry "${name}"`, {
      help: suggestion(
        name,
        program.entries.map((e) => e.name),
      ),
    });
  }
  const batch = wanted ?? batchOf(entry, inputs) ?? program.batch;
  const { given, state } = bind(program, entry, inputs, batch, weights !== undefined);
  const file = weights === undefined ? undefined : await openWeights(weights, program);
  const session = await load(bundle, { ...rest, batch, entries: [name] });
  try {
    await fill(session, file, state);
    if (!through) {
      const outputs = await session.run(name, given);
      return new Map(entry.outputs.map((port) => [port.name, stored(port, outputs[port.name]!, batch)]));
    }
    await through(session, name, given);
    const names = entry.outputs.map(({ name: port, kind }) => (kind === "output" ? `${name}.${port}` : port));
    const outputs = await session.read(names);
    return new Map(entry.outputs.map((port, i) => [port.name, stored(port, outputs[names[i]!]!, batch)]));
  } finally {
    session.dispose();
  }
}

async function fill(session: Session, file: ReadWeight | undefined, state: ReadonlyMap<string, InputData>): Promise<void> {
  if (file) await writeWeights(session, file, { ema: true, skip: new Set(state.keys()) });
  const names = new Set(session.names);
  for (const [name, data] of state) await session.write(name, data);
  for (const [name, data] of file ? [] : state) {
    const average = name.startsWith("p.") ? `ema.${name.slice(2)}` : "";
    if (names.has(average) && !state.has(average)) await session.write(average, data);
  }
}

/** The batch that makes the first input with a batch axis fit. */
function batchOf(entry: Entry, inputs: ReadonlyMap<string, StoredTensor>): number | undefined {
  for (const { name, shape } of entry.inputs) {
    const found = inputs.get(name)?.shape;
    if (found?.length !== shape.length) continue;
    for (const [i, size] of shape.entries()) {
      // Sizes of inputs are a multiple of the batch, or have nothing to do with it.
      if (typeof size !== "number" && size.length === 2 && size[0] === 0 && found[i]! > 0 && found[i]! % size[1]! === 0) {
        return found[i]! / size[1]!;
      }
    }
  }
  return undefined;
}

interface Bound {
  readonly given: Readonly<Record<string, InputData>>;
  /** By the session's names. */
  readonly state: ReadonlyMap<string, InputData>;
}

/** Session name of a weight or state: a weight is reached as `p.<key>` in every entry. */
const sessionName = ({ name, kind }: Port): string => (kind === "parameter" ? `p.${name}` : name);

function bind(program: Program, entry: Entry, inputs: ReadonlyMap<string, StoredTensor>, batch: number, weights: boolean): Bound {
  const problems: string[] = [];
  const ports = new Map(entry.inputs.filter(({ kind }) => kind !== "constant").map((port) => [sessionName(port), port]));
  const given: Record<string, InputData> = {};
  const state = new Map<string, InputData>();
  for (const [name, tensor] of inputs) {
    const known = ports.has(name) ? name : `p.${name}`;
    const port = ports.get(known);
    if (!port) {
      const near = [...ports].filter(([, { kind }]) => kind !== "parameter").map(([other]) => other);
      problems.push(`${name}: ${entry.name} has no input of this name; ${suggestion(name, near)}`);
      continue;
    }
    const data = converted(port, tensor, batch);
    if (typeof data === "string") problems.push(`${name}: ${data}`);
    else if (port.kind === "input") given[port.name] = data;
    else state.set(known, data);
  }
  const absent = [...ports].filter(
    ([name, port]) => !inputs.has(name) && !inputs.has(port.name) && !startsByItself(entry, name, port),
  );
  const lacksWeights = absent.filter(([name]) => name.startsWith("p."));
  for (const [, port] of absent.filter(([name]) => !name.startsWith("p."))) {
    problems.push(`${port.name}: missing, expected ${described(port, batch)}`);
  }
  if (lacksWeights.length > 0 && !weights) problems.push(`${lacksWeights.length} weights: missing, give a weights file`);
  if (problems.length > 0) {
    const message = `the inputs do not fit ${entry.name} of ${program.model.name} ${program.model.preset} at batch ${batch}`;
    const diagnostic: Diagnostic = { code: "DIT7020", message, notes: problems };
    throw new DitError(diagnostic);
  }
  return { given, state };
}

/** State with a start of its own. A schedule of several segments begins with one that makes its state. */
function startsByItself(entry: Entry, name: string, { kind }: Port): boolean {
  if (kind !== "state") return false;
  return name === "step" || /^(m|v|ema)\./.test(name) || (entry.segments.length > 1 && !name.startsWith("p."));
}

const described = ({ dtype, shape, axes }: Port, batch: number): string =>
  `${dtype} [${shape.map((size, i) => `${axes[i]} ${evaluate(size, batch)}`).join(", ")}]`;

const dtypes: Readonly<Record<ScalarType, SafetensorsDtype>> = { f32: "F32", i32: "I32", u32: "U32", bool: "BOOL" };
const least = { i32: -(2 ** 31), u32: 0, bool: 0 } as const;
const most = { i32: 2 ** 31 - 1, u32: 2 ** 32 - 1, bool: 1 } as const;

/** The tensor as the port's array, or what is wrong with it. Integers may be stored wider or narrower, as long as they fit. */
function converted(port: Port, tensor: StoredTensor, batch: number): InputData | string {
  const expected = `expected ${described(port, batch)}`;
  const shape = port.shape.map((size) => evaluate(size, batch));
  if (tensor.shape.join() !== shape.join()) return `${tensor.dtype} [${tensor.shape.join(", ")}], ${expected}`;
  const { dtype } = port;
  if (dtype === "f32") return toFloat32(tensor) ?? `${tensor.dtype}, ${expected}`;
  if (!/^(I|U)\d+$|^BOOL$/.test(tensor.dtype)) return `${tensor.dtype}, ${expected}`;
  const numbers = Array.from(tensor.data as ArrayLike<number | bigint>, Number);
  const wrong = numbers.find((n) => !(n >= least[dtype] && n <= most[dtype]));
  if (wrong !== undefined) return `has the value ${wrong}, ${expected}`;
  return dtype === "i32" ? Int32Array.from(numbers) : dtype === "u32" ? Uint32Array.from(numbers) : Uint8Array.from(numbers);
}

const stored = ({ dtype, shape }: Port, data: TypedArray, batch: number): StoredTensor => ({
  dtype: dtypes[dtype],
  shape: shape.map((size) => evaluate(size, batch)),
  data: data as TensorData,
});
