/**
 * The bundle's index.d.ts: what this one program takes, gives and holds, by name. Every entry with its inputs and outputs as typed
 * arrays, with shapes in comments; every weight with its shape; every tensor that can be written and read; the config as literals. A
 * name that the program does not have is an error in the editor. It stands alone: no import, and GPUDevice, AbortSignal and URL are
 * whatever the consumer's own types say.
 */
import type { Entry, Port, Program, ScalarType, StorageKind } from "../program/program.js";
import { printSize } from "../program/size.js";
import { titleOf } from "./index-script.js";

const arrays = { f32: "Float32Array", i32: "Int32Array", u32: "Uint32Array", bool: "Uint8Array" } as const;

export function declarations(program: Program): string {
  const entries = program.entries.map((entry) => entryText(entry)).join("\n");
  const { hash, model, batch } = program;
  const literals = Object.entries(model.config).map(([name, value]) => `readonly ${key(name)}: ${JSON.stringify(value)}`);
  const tensors = Object.entries(tensorTypes(program)).map(([name, dtype]) => `  ${key(name)}: ${arrays[dtype]};`);
  return `${titleOf(program)}
// B is the batch that the program is loaded with; arrays are row-major.
export interface Entries {
${entries}
}

/** The weights by state-dict key, with their shapes. */
export interface Parameters {
${program.parameters.map(({ name, shape }) => `  ${key(name)}: readonly [${shape.join(", ")}];`).join("\n")}
}

/**
 * All that \`write\` and \`read\` know: weights by key or "p.<key>", moments "m.<key>" and "v.<key>", averages "ema.<key>", state and
 * constants by name, outputs as "<entry>.<output>". A session has those of the entries that it was loaded with.
 */
export interface Tensors {
${tensors.join("\n")}
}

/** What the program was compiled from. */
export interface ProgramFacts {
  readonly hash: ${JSON.stringify(hash)};
  readonly batch: ${batch};
  readonly model: {
    readonly name: ${JSON.stringify(model.name)};
    readonly preset: ${JSON.stringify(model.preset)};
    readonly config: {
${literals.map((line) => `      ${line};`).join("\n")}
    };
  };
}
${FIXED}`;
}

const sets: Readonly<Partial<Record<StorageKind, string>>> = { parameter: "p.", moment1: "m.", moment2: "v.", ema: "ema." };

/** Names and dtypes as the runtime's sessions have them when all entries are loaded (src/runtime/names.ts). */
export function tensorTypes(program: Program): Record<string, ScalarType> {
  const found: Record<string, ScalarType> = {};
  const add = (name: string, dtype: ScalarType) => {
    if (!Object.hasOwn(found, name)) found[name] = dtype;
  };
  const dtypes = new Map<number, ScalarType>();
  for (const { inputs, outputs } of program.entries)
    for (const port of [...inputs, ...outputs]) dtypes.set(port.storage, port.dtype);
  for (const { storage, dtype } of program.constants) if (storage !== undefined) dtypes.set(storage, dtype);
  for (const { kind, name } of program.storages) if (kind === "parameter") add(name, "f32");
  for (const { kind, name } of program.storages) if (sets[kind] !== undefined) add(`${sets[kind]}${name}`, "f32");
  program.storages.forEach(({ kind, name }, id) => {
    if (kind !== "state" && kind !== "constant") return;
    add(name, dtypes.get(id) ?? "f32");
    add(`${kind}.${name}`, dtypes.get(id) ?? "f32");
  });
  for (const { name, outputs } of program.entries) for (const port of outputs) add(`${name}.${port.name}`, port.dtype);
  return found;
}

function entryText(entry: Entry): string {
  const given = entry.inputs.filter(({ kind }) => kind === "input");
  const state = entry.inputs.filter(({ kind }) => kind === "state").map(({ name }) => name);
  const steps = entry.segments.map(({ repeat, dispatches }) => `${repeat} × ${dispatches.length}`).join(" + ");
  return `  /** ${steps} dispatches${state.length > 0 ? `; state, reached with read and write: ${listed(state)}` : ""}. */
  ${key(entry.name)}: {
    inputs: {
${given.map((port) => portText(port, `${arrays[port.dtype]} | readonly ${port.dtype === "bool" ? "boolean" : "number"}[]`)).join("\n")}
    };
    outputs: {
${entry.outputs.map((port) => portText(port, arrays[port.dtype])).join("\n")}
    };
  };`;
}

/** The state of a training step has thousands of names in four sets; a sentence names some. */
const listed = (names: readonly string[]): string =>
  names.length <= 8 ? names.join(", ") : `${names.slice(0, 4).join(", ")}, … (${names.length})`;

const key = (name: string): string => (/^[A-Za-z_$][\w$]*$/.test(name) ? name : JSON.stringify(name));

function portText({ name, dtype, axes, shape }: Port, type: string): string {
  const sizes = shape.map((size, i) => `${axes[i] ?? i}: ${printSize(size)}`).join(", ");
  return `      /** ${dtype} [${sizes}] */\n      ${key(name)}: ${type};`;
}

const FIXED = `
export type EntryName = keyof Entries;
export type ParameterName = keyof Parameters;
export type TensorName = keyof Tensors;
export type TypedArray = Float32Array | Int32Array | Uint32Array | Uint8Array | Uint16Array;
// Names of the platform, where the consumer's types know them.
type Device = typeof globalThis extends { GPUDevice: { prototype: infer T } } ? T : object;
type Signal = typeof globalThis extends { AbortSignal: { prototype: infer T } } ? T : object;
type Address = string | (typeof globalThis extends { URL: { prototype: infer T } } ? T : never);

export interface Progress {
  readonly stage: "files" | "pipelines" | "weights";
  readonly done: number;
  readonly total: number;
}

export interface LoadOptions<E extends EntryName = EntryName> {
  /** Default: the batch that the program was compiled for. */
  readonly batch?: number | undefined;
  /** Entries to load; memory is taken for these alone. Default: all. */
  readonly entries?: readonly E[] | undefined;
  /** Where the weights (safetensors, state-dict keys) are, relative to this folder. Default: zeros, and \`write\` sets them. */
  readonly weights?: Address | undefined;
  /** Default in a browser: one of its own. Node needs one. */
  readonly device?: Device | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  readonly log?: ((line: string) => void) | undefined;
  /** Bytes of GPU memory that the plan may take; above it nothing is allocated. */
  readonly memoryLimit?: number | undefined;
  /** About how long one submit may keep the device; default in a browser: 12. */
  readonly submitBudgetMs?: number | undefined;
  readonly signal?: Signal | undefined;
}

export interface StepOptions {
  /** After each round of a repeated segment. */
  readonly onStep?: ((done: number, total: number) => void) | undefined;
  readonly signal?: Signal | undefined;
}

/** A look at tensors while an entry is at work. */
export interface Look<N extends TensorName = TensorName> {
  /** After every so many rounds, or as soon after as an earlier look is over; never after the last. */
  readonly every: number;
  readonly names: readonly N[];
  /** \`repeat\` waits for what it gives back. */
  readonly see: (tensors: { [K in N]: Tensors[K] }) => void | Promise<void>;
}

/** With the entries that it was loaded with. */
export interface Session<Loaded extends EntryName = EntryName> {
  readonly batch: number;
  readonly program: ProgramFacts;
  readonly memory: { readonly total: number; readonly byKind: Readonly<Record<string, number>> };
  /** Every name that \`write\` and \`read\` know. */
  readonly names: string[];
  /** Runs an entry and reads its outputs. Rejects with a DitRuntimeError that names what was expected. */
  run<E extends Loaded>(entry: E, inputs: Entries[E]["inputs"], options?: StepOptions): Promise<Entries[E]["outputs"]>;
  /** Runs an entry without reading back; without inputs the last ones are used again. */
  submit<E extends Loaded>(entry: E, inputs?: Entries[E]["inputs"]): Promise<void>;
  /** Runs an entry with repeated segments round by round, reading back only for a look. */
  repeat<E extends Loaded, N extends TensorName>(
    entry: E,
    inputs?: Entries[E]["inputs"],
    options?: StepOptions & { readonly look?: Look<N> | undefined },
  ): Promise<void>;
  write<N extends TensorName>(name: N, data: Tensors[N] | readonly number[]): Promise<void>;
  read<N extends TensorName>(names: readonly N[]): Promise<{ [K in N]: Tensors[K] }>;
  idle(): Promise<void>;
  /** Gives all GPU memory back. */
  dispose(): void;
}

export declare class DitRuntimeError extends Error {
  readonly code: string;
  readonly kind: string;
  readonly help: string | undefined;
}

/** Loads this program and gets a device for it. Rejects with a DitRuntimeError. */
export declare function load<E extends EntryName = EntryName>(options?: LoadOptions<E>): Promise<Session<E>>;
/** Loads this program's bundle from another address. */
export declare function loadFrom<E extends EntryName = EntryName>(folder: Address, options?: LoadOptions<E>): Promise<Session<E>>;
`;
