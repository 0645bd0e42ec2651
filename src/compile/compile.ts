/**
 * The whole pipeline, in one function that can be read in a minute: load, trace, run the passes, lower to kernels, plan, report.
 * A pure function of the model file, the options and the files they name: no adapter, no clock, no cache. Same input, same bytes.
 */
import { createHash } from "node:crypto";
import { type LoweredProgram, type LowerOptions, lower, type ScheduleSpec } from "../codegen/lower.js";
import { fail } from "../diagnostics/diagnostic.js";
import type { EntrySpec, ModelDefinition, Schedule, TracedModel } from "../dsl/model.js";
import { parseSettings, suggestion } from "../dsl/settings.js";
import { placedAt } from "../dsl/sites.js";
import { type ParamDecl, type Traced, trace } from "../dsl/trace.js";
import { withModel } from "../frontend/load.js";
import type { Fn, Module } from "../ir/graph.js";
import { passes } from "../passes/index.js";
import { type Pass, type PassOptions, pipeline } from "../passes/pass.js";
import { recompute } from "../passes/recompute/index.js";
import {
  type Bundle,
  type Constant,
  FORMAT,
  type Init,
  type Parameter,
  type Profile,
  type Program,
  VERSION,
} from "../program/program.js";
import { product, type Size } from "../program/size.js";
import { checkedChoices, checkedTuning, neededFeatures } from "./choices.js";
import { type Fit, fitMemory, type MemoryBudget } from "./fit-memory.js";
import { loweringText } from "./lowering-text.js";
import { type Report, report } from "./report.js";
import { HALVES, loweringLimits, targetProfile } from "./target.js";
import { checkedVariants, makeVariants } from "./variants.js";

export interface CompileOptions {
  /** One of the model file's presets; default: its default preset. */
  readonly preset?: string;
  /** `key=value` settings of the model and its objective. */
  readonly set?: readonly string[];
  /** Defaults in place of the model's own, for those of these keys that it has; preset and `set` go before them. */
  readonly defaults?: Readonly<Record<string, number | string | boolean>>;
  /** Batch that kernel choices and the report are for; the program runs at any batch. Default 1. */
  readonly batch?: number;
  /** Entries to compile; default: all. */
  readonly entries?: readonly string[];
  /** "web" (default), "minimum", or a limits profile as `doctor --profile` writes it. */
  readonly target?: "web" | "minimum" | Profile;
  /** Naive kernels alone: tells a driver's bug from ours. */
  readonly safe?: boolean;
  /** false: one op a kernel, nothing raised or fused, which is what fusion is compared with; default true. */
  readonly fused?: boolean;
  /** GPU memory that may be taken at `batch`: values of the forward are computed again in the backward until it fits. */
  readonly memory?: MemoryBudget;
  /**
   * "f16": activations, and weights that no compiled entry trains, are stored in 16 bits; kernels compute in f32. "f16-weights": these
   * weights alone, two in a word, which needs nothing of the device. Default "f32".
   */
  readonly dtype?: "f32" | "f16" | "f16-weights";
  /** Choices that are made already, by kernel family, like `{ matmul: "workgroup-64x64" }`; each is taken wherever it applies. */
  readonly choices?: Readonly<Record<string, string>>;
  /** Choices for single dispatches by their keys, as a tuning file has them for an adapter; `choices` go before them. */
  readonly tuning?: ReadonlyMap<string, string>;
  /** Up to so many other ways of each heavy kernel go along, in a file of their own: 1 to 8. */
  readonly variants?: number;
  /** Sees the module after each pass; "trace" first. */
  readonly after?: (pass: string, module: Module) => void;
  /** Verify the module after each pass, which takes longer, or after the last alone (default). */
  readonly verify?: "each" | "last";
}

export interface Compiled {
  readonly bundle: Bundle;
  readonly report: Report;
  /** The module as traced, and as lowered. */
  readonly graph: Module;
  readonly kernels: Module;
}

/** A model file under one config, as its trace records it. */
export interface TracedFile {
  readonly definition: ModelDefinition;
  readonly preset: string | undefined;
  readonly config: TracedModel["config"];
  readonly fns: readonly Traced[];
  readonly schedules: readonly ScheduleSpec[];
}

type TraceOptions = Pick<CompileOptions, "preset" | "set" | "defaults" | "dtype" | "entries">;

/** Loads a model file and traces its entries: where every use of a model begins. Errors: DitError, as for `compile`. */
export const traceFile = (file: string, options: TraceOptions = {}): Promise<TracedFile> =>
  withTraced(file, options, (traced) => traced);

/** Compiles a model file. Errors: DitError with place and help for anything wrong in file, settings or options. */
export const compile = (file: string, options: CompileOptions = {}): Promise<Compiled> =>
  withTraced(file, options, async (traced, checked) => {
    // Whoever looks on sees nothing of a model whose types are wrong.
    if (options.after) await checked;
    return compileTraced(traced, options);
  });

/** Traces a model file for `work`, which begins before the types are checked. */
async function withTraced<T>(
  file: string,
  options: TraceOptions,
  work: (traced: TracedFile, checked: Promise<void>) => T | Promise<T>,
): Promise<T> {
  // The model imports "dit-compile": this very instance, handed in late because it contains this function.
  return withModel(file, { library: await import("../index.js") }, ({ definition, checked }) =>
    work(traceModel(definition, options), checked),
  );
}

function traceModel(definition: ModelDefinition, options: TraceOptions): TracedFile {
  const { preset, config } = parseSettings(definition, options.preset, options.set, {
    ...(options.dtype === "f16" ? { lossScaling: true } : {}),
    ...options.defaults,
  });
  const problem = definition.check?.(config) ?? definition.objective?.check?.(config);
  if (problem)
    fail("DIT1104", `${definition.name} cannot be built: ${problem}`, {
      help: "change the preset or the settings (--set)",
    });
  const configured = placedAt(definition.site, () => definition.configured(config));
  return { definition, preset, config, ...traceEntries(configured, definition.objective, config, options.entries) };
}

function compileTraced({ definition, preset, config, ...traced }: TracedFile, options: CompileOptions): Compiled {
  const batch = checkedBatch(options.batch ?? 1);
  const choices = checkedChoices(options.choices ?? {});
  const needed = [...(options.dtype === "f16" ? [HALVES] : []), ...neededFeatures(choices, options)];
  const profile = targetProfile(options.target ?? "web", needed);
  const ways = options.variants === undefined ? undefined : checkedVariants(options.variants, options.safe ?? false);
  const graph: Module = { stage: "graph", fns: traced.fns.map((t) => t.fn) };

  const stages: { pass: string; module: Module }[] = [{ pass: "trace", module: graph }];
  options.after?.("trace", graph);
  const lowering = {
    batch,
    safe: options.safe ?? false,
    choices,
    ...(options.tuning ? { tuning: checkedTuning(options.tuning) } : {}),
    ...loweringLimits(profile),
  } satisfies LowerOptions;
  const passOptions: PassOptions = {
    maxStorageBuffers: lowering.maxStorageBuffers,
    maxBinding: lowering.maxBinding,
    fused: options.fused ?? true,
    attention: choices.attention !== "unfused",
    narrow: options.dtype === "f16-weights" ? "weights" : options.dtype === "f16",
    differentiated: true,
  };
  let fit: Fit | undefined;
  const kernels = pipeline(passes, graph, {
    options: (pass, module) => {
      if (pass !== recompute || !options.memory) return passOptions;
      fit = fitMemory(module, traced.schedules, lowering, profile, options.memory, passOptions);
      return { ...passOptions, recompute: fit.recompute };
    },
    verify: options.verify ?? "last",
    after: (pass: Pass, module) => {
      stages.push({ pass: pass.name, module });
      options.after?.(pass.name, module);
    },
  });

  const lowered = lower(kernels, traced.schedules, lowering);
  const { constants, bytes, parameters } = tensors(traced.fns, lowered);
  const unhashed: Omit<Program, "hash" | "report"> = {
    format: FORMAT,
    version: VERSION,
    model: { name: definition.name, preset: preset ?? "", config },
    profile,
    batch,
    storages: lowered.storages,
    parameters,
    constants,
    kernels: lowered.kernels,
    entries: lowered.entries,
  };
  const hash = createHash("sha256")
    .update(JSON.stringify(unhashed))
    .update(JSON.stringify(lowered.wgsl))
    .update(bytes)
    .digest("hex");
  const { gflops } = definition;
  const facts = report({ ...unhashed, hash, report: {} }, stages, traced.schedules, {
    gflops: gflops?.(config),
    fitted: fit?.fitted ?? [],
  });
  const program: Program = { ...unhashed, hash, report: facts as unknown as Record<string, unknown> };
  const tuning = [...(options.tuning ?? [])];
  const made = { safe: lowering.safe, choices, ...(tuning.length > 0 ? { tuning } : {}), schedules: traced.schedules };
  const ir = loweringText(kernels, made);
  const bundle: Bundle = {
    ...{ program, wgsl: lowered.wgsl, constants: bytes, ir },
    ...(ways === undefined ? {} : { variants: makeVariants(ways, kernels, traced.schedules, lowering, lowered, hash) }),
  };
  return { bundle, report: facts, graph, kernels };
}

function checkedBatch(batch: number): number {
  if (!Number.isInteger(batch) || batch < 1) fail("DIT1301", `batch is ${batch}, expected a whole number from 1`);
  return batch;
}

interface TracedEntries {
  readonly fns: readonly Traced[];
  readonly schedules: readonly ScheduleSpec[];
}

/** Traces the functions that the wanted entries need; a schedule needs those of its segments. */
function traceEntries(
  model: TracedModel,
  objective:
    | {
        entries: (m: TracedModel, c: TracedModel["config"]) => readonly EntrySpec[];
        schedules?: (c: TracedModel["config"]) => readonly Schedule[];
      }
    | undefined,
  config: TracedModel["config"],
  wanted: readonly string[] | undefined,
): TracedEntries {
  const specs: readonly EntrySpec[] = objective?.entries(model, config) ?? [
    { name: "forward", build: () => model.forward(model.declare()) },
  ];
  const single = specs
    .filter((s) => !s.internal)
    .map((s): ScheduleSpec => ({ name: s.name, segments: [{ fn: s.name, repeat: 1 }] }));
  const all = [...single, ...(objective?.schedules?.(config) ?? [])];
  for (const name of wanted ?? []) {
    if (!all.some((s) => s.name === name)) {
      fail("DIT1302", `${model.name} has no entry "${name}"`, {
        help: suggestion(
          name,
          all.map((s) => s.name),
        ),
      });
    }
  }
  const schedules = wanted ? all.filter((s) => wanted.includes(s.name)) : all;
  const needed = new Set(schedules.flatMap((s) => s.segments.map((segment) => segment.fn)));
  const draws = config.draws === "inputs" ? "inputs" : "generated";
  const fns = specs
    .filter((s) => needed.has(s.name))
    .map((s) => placedAt(model.site, () => trace(s.name, () => s.build(), { draws, weights: s.weights ?? "parameter" })));
  for (const { fn } of fns) refuseHalves(fn);
  return { fns, schedules };
}

/** Kernels compute in f32. */
function refuseHalves(fn: Fn): void {
  const made = fn.nodes.find((node) => node.outputs.some((v) => v.type.dtype === "f16"));
  const given = fn.params.find((p) => p.value.type.dtype === "f16");
  if (!made && !given) return;
  fail("DIT1307", `${given ? `"${given.name}"` : `what ${made!.op} gives`} is f16, and kernels compute in f32`, {
    ...(made?.loc ? { span: made.loc } : {}),
    help: "keep tensors of the model f32; --dtype f16 stores them in 16 bits",
  });
}

/** Parameters in state-dict order, and all tables as one file: f32 or i32, little-endian. */
function tensors(traced: readonly Traced[], lowered: LoweredProgram) {
  const constants: Constant[] = [];
  const chunks: Uint8Array[] = [];
  let offset = 0;
  const put = (name: string, dtype: "f32" | "i32", shape: readonly Size[], data: Float64Array, storage?: number) => {
    const values = dtype === "f32" ? Float32Array.from(data) : Int32Array.from(data);
    const bytes = new Uint8Array(values.buffer);
    constants.push({ name, dtype, shape: shape as readonly number[], offset, ...(storage === undefined ? {} : { storage }) });
    chunks.push(bytes);
    offset += bytes.length;
  };

  const decls = new Map<string, ParamDecl>();
  const tables = new Map<string, { data: Float64Array; dtype: "f32" | "i32"; shape: readonly Size[] }>();
  for (const t of traced) {
    for (const p of t.params) if (!decls.has(p.name)) decls.set(p.name, p);
    for (const p of t.fn.params) {
      const data = t.tables.get(p.name);
      if (p.kind === "constant" && data)
        tables.set(p.name, { data, dtype: p.value.type.dtype === "i32" ? "i32" : "f32", shape: p.value.type.shape });
    }
  }
  for (const [name, { data, dtype, shape }] of tables) {
    const storage = lowered.persistent.get(`constant:${name}`);
    if (storage !== undefined) put(name, dtype, shape, data, storage);
  }
  const parameters = [...decls.values()].flatMap((p): Parameter[] => {
    const storage = lowered.persistent.get(`parameter:${p.name}`);
    if (storage === undefined) return [];
    let init: Init;
    if (p.init.rule === "table") {
      const constant = `init.${p.name}`;
      put(constant, "f32", p.type.shape, p.init.data);
      init = { rule: "table", constant };
    } else init = p.init;
    return [{ name: p.name, shape: p.type.shape as readonly number[], trainable: p.trainable, init, storage }];
  });
  const bytes = new Uint8Array(offset);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return { constants, parameters, bytes };
}

/** Number of elements of all parameters. */
export const parameterCount = (parameters: readonly Parameter[]): number =>
  parameters.reduce((n, p) => n + (product(p.shape) as number), 0);
