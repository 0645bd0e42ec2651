/**
 * The Program: what the compiler makes and the runtime runs. Plain data (JSON, WGSL text, constants), versioned, and the only thing the
 * two share. Sizes stay polynomials of the batch (size.ts); the packer (pack.ts) turns them into slabs and offsets when a batch is chosen.
 */
import type { Size } from "./size.js";
import type { Variants } from "./variants.js";

export const FORMAT = "dit-compile program";
/** A reader refuses a newer major. */
export const VERSION = { major: 1, minor: 0 } as const;

export type ScalarType = "f32" | "i32" | "u32" | "bool";
export type ConfigValue = number | string | boolean;

/**
 * What a piece of memory is for. Persistent kinds keep their content from run to run; `activation` memory is shared by values whose
 * lives do not overlap. `parameter`, `moment1`, `moment2`, `ema`, `accumulator` (sums of gradients) and `gradient` are parallel sets with
 * one layout; a gradient is made anew by each step, in memory of its own.
 */
export type StorageKind =
  | "input"
  | "parameter"
  | "moment1"
  | "moment2"
  | "ema"
  | "accumulator"
  | "gradient"
  | "state"
  | "constant"
  | "activation"
  | "output";
export const persistentKinds: readonly StorageKind[] = [
  "parameter",
  "moment1",
  "moment2",
  "ema",
  "accumulator",
  "state",
  "constant",
];

/** One contiguous piece of memory. Ids are positions in `Program.storages`. Bool elements take a u32 each: 0 or 1. */
export interface Storage {
  readonly kind: StorageKind;
  /** For people and errors: parameter key, "forward.x", or the value's name in the IR. */
  readonly name: string;
  readonly bytes: Size;
  /** Its numbers take 16 bits; to callers they are f32. Absent: what the ports and kernels say, four bytes each. */
  readonly dtype?: "f16";
  /**
   * The storage of the same kind that this one is a part of, and the byte it begins at: a multiple of 256. A dispatch may bind the whole
   * where it works on all parts at once (the optimizer does), or a part. What lies between parts is zero for ever.
   */
  readonly within?: { readonly storage: number; readonly offset: Size };
  /** Entry whose run owns it; absent for persistent kinds, which all entries share. */
  readonly entry?: string;
  /** First and last dispatch of that entry that touch it, both included (only for kind activation). */
  readonly live?: readonly [number, number];
}

/** An input or an output of an entry, as the caller names it. */
/**
 * The name of storages in which products put the sums of their squares, for the norm of all gradients: no value of a model is called so, nor
 * does one have it for its own; whoever looks for the first bad value finds an overflow of these where the norm is made.
 */
export const SQUARES_BESIDE = "squares beside products";

export interface Port {
  readonly name: string;
  readonly dtype: ScalarType;
  readonly axes: readonly string[];
  readonly shape: readonly Size[];
  readonly storage: number;
  /** input: given at each run; parameter, constant and state: already there. */
  readonly kind: "input" | "parameter" | "constant" | "state" | "output";
}

/** What the WGSL declares of a binding; by kind of storage, see rules.ts. */
export type Access = "read" | "read_write";
/**
 * What a kernel really does with a binding: `write` fills it, or its own window of it where several kernels store parts of one tensor,
 * without looking at what was there.
 */
export type Effect = "read" | "write" | "update";

/** The feature by which a device has matrix units: WebGPU's subgroup matrices, an experiment of Dawn and Chromium. */
export const MATRICES = "chromium-experimental-subgroup-matrix";

/** Matrices that a device can multiply: m × k by k × n numbers of `component`, added to m × n of `result`. */
export interface MatrixShape {
  readonly component: string;
  readonly result: string;
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

export const matrixText = ({ component, result, m, n, k }: MatrixShape): string =>
  `matrices of ${m} × ${n} × ${k}, ${component} to ${result}`;

export interface Requirement {
  readonly features?: readonly string[];
  /** One of the shapes of its matrix units. */
  readonly matrix?: MatrixShape;
  /** The adapter's only subgroup width (min = max), when the kernel is written for one. */
  readonly subgroupSize?: number;
  readonly limits?: Readonly<Record<string, number>>;
  /** A GPU, or if false a fallback adapter (WebGPU's name for a CPU that stands in for one): what is fast on one is slow on the other. */
  readonly hardware?: boolean;
}

/** One WGSL text for a kernel. The first variant whose requirement the device meets is taken; the last requires nothing. */
export interface Variant {
  readonly name: string;
  readonly requires: Requirement;
  /** Path inside the bundle; the text is in `Program.wgsl`, keyed by it. */
  readonly file: string;
  readonly workgroupSize: number;
  /** How many units of `Dispatch.extent` one workgroup covers, per dimension. */
  readonly tile: readonly number[];
}

/**
 * A kernel: storage bindings 0 … n-1 of group 0, then binding n, a uniform buffer of u32 words: [first group, end (one past the
 * last), groups per grid row, 0] and the dispatch's own words from word 4 on. The entry point is `main`. A workgroup finds its
 * linear number as `first + workgroup_id.x + workgroup_id.y * groups per row` and returns when that is not below `end`.
 */
export interface Kernel {
  readonly name: string;
  readonly family: string;
  readonly access: readonly Access[];
  /** Finer than `access`, for the check that nothing is read before it is written; absent: whatever `access` permits. */
  readonly effects?: readonly Effect[];
  /** Number of u32 words in the uniform, header included; a multiple of 4. */
  readonly words: number;
  readonly variants: readonly Variant[];
}

/**
 * What a dispatch has to do, whichever variant runs it: counted when compiled, from what is computed, not from how. A kernel may do more
 * (read a tile twice, compute an epilogue's operand again); what it is short of its time is its own.
 */
export interface Work {
  /** Multiply-adds of contractions. */
  readonly macs: Size;
  /** Two for each multiply-add, and one for each element that any other operation makes or sums up, an exponential like an addition. */
  readonly flops: Size;
  /** Bytes of storages that it looks at, each once. */
  readonly read: Size;
  readonly written: Size;
}

export interface Dispatch {
  readonly kernel: number;
  /** Storage ids, one per storage binding, each at most once. */
  readonly bindings: readonly number[];
  readonly uniforms: readonly Size[];
  /** Units of work per dimension: groups = Π ceil(extent / tile), numbered with dimension 0 fastest. */
  readonly extent: readonly Size[];
  /** "dot %q @ dit.graph.ts:41:12": the WebGPU label, and what errors say. */
  readonly label: string;
  /** The work in a line, where there are several kernels for it to choose from: tuning files have choices by it. */
  readonly choiceKey?: string;
  readonly work: Work;
}

/** A flat list of dispatches, run once or `repeat` times. Between any two dispatches a submit may be cut. */
export interface Segment {
  readonly repeat: number;
  readonly dispatches: readonly Dispatch[];
}

export interface Entry {
  readonly name: string;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly segments: readonly Segment[];
}

/** How a fresh weight is made; fans are those of the linear view [out, in]. Source: dit-spec 1.9. */
export type Init =
  | { readonly rule: "xavier_uniform"; readonly fanIn: number; readonly fanOut: number }
  | { readonly rule: "normal"; readonly std: number }
  | { readonly rule: "zeros" }
  | { readonly rule: "ones" }
  /** Fixed numbers, stored with the constants under this name. */
  | { readonly rule: "table"; readonly constant: string };

/** A weight, in state-dict order. */
export interface Parameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly trainable: boolean;
  readonly init: Init;
  readonly storage: number;
}

/** A tensor computed in f64 when compiled, stored as f32 or i32 in `constants.bin`. */
export interface Constant {
  readonly name: string;
  readonly dtype: "f32" | "i32";
  readonly shape: readonly number[];
  /** Byte offset in constants.bin, a multiple of 4. */
  readonly offset: number;
  /** Absent for tables that only initialise a parameter. */
  readonly storage?: number;
}

/** What the program was compiled for: WebGPU names of limits, and features every kernel may use without a variant. */
export interface Profile {
  readonly name: string;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  readonly subgroupSize?: number;
  /** Whether kernels may carry feature-guarded variants. */
  readonly variants: boolean;
}

export interface Program {
  readonly format: typeof FORMAT;
  readonly version: { readonly major: number; readonly minor: number };
  /** SHA-256 of everything else, in hex: same hash, same bits on the same driver. */
  readonly hash: string;
  readonly model: { readonly name: string; readonly preset: string; readonly config: Readonly<Record<string, ConfigValue>> };
  readonly profile: Profile;
  /** The batch the report was made for and `load` takes when none is given. */
  readonly batch: number;
  readonly storages: readonly Storage[];
  readonly parameters: readonly Parameter[];
  readonly constants: readonly Constant[];
  readonly kernels: readonly Kernel[];
  readonly entries: readonly Entry[];
  readonly report: Readonly<Record<string, unknown>>;
}

/** A program with its texts and constants at hand: what `compile()` returns and the runtime takes. */
export interface Bundle {
  readonly program: Program;
  /** WGSL by `Variant.file`. */
  readonly wgsl: Readonly<Record<string, string>>;
  readonly constants: Uint8Array;
  /** The module that the kernels were made of, and how, so that they can be made again with other choices; nothing that runs needs it. */
  readonly ir?: string;
  /** Other ways of its heaviest kernels; for a file of their own, which nobody reads unless asked to. */
  readonly variants?: Variants;
}

/** The WebGPU spec's guaranteed minimum: what `--target web` and `--target minimum` compile for. */
export const webLimits: Readonly<Record<string, number>> = {
  maxStorageBufferBindingSize: 134217728,
  maxBufferSize: 268435456,
  maxStorageBuffersPerShaderStage: 8,
  maxUniformBufferBindingSize: 65536,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupStorageSize: 16384,
  maxComputeWorkgroupsPerDimension: 65535,
  minStorageBufferOffsetAlignment: 256,
  minUniformBufferOffsetAlignment: 256,
};
