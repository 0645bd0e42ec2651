/**
 * What a model file exports: a name, config keys with defaults, presets, and `forward`, the network as a function of its inputs.
 * What is done with the network (training, sampling) is the objective's part: a library value with config keys of its own, which
 * makes entries out of the model. Nothing here runs `forward`; entries do, inside a trace.
 *
 *     export default defineModel({
 *       name: "mlp", config: { hidden: 64 },
 *       inputs: (c) => ({ x: tensor("batch pixel", { pixel: 784 }) }),
 *       forward: (c, { x }) => ({ logits: linear(x, "pixel", { class: 10 }, "fc") }),
 *     });
 */
import type { DType, TensorType } from "../ir/types.js";
import { input } from "./declare.js";
import { named, typeOf } from "./functions.js";
import { currentSite, refuse, type Site } from "./sites.js";
import type { AnyTensor, Sizes, Tensor } from "./tensor.js";

export type ConfigValue = number | string | boolean;
/** A key with few allowed values; the first is the default. */
export interface OneOf<V extends string = string> {
  readonly oneOf: readonly V[];
}
export type ConfigKeys = Readonly<Record<string, ConfigValue | OneOf>>;
type Widened<V> =
  V extends OneOf<infer S> ? S : V extends number ? number : V extends boolean ? boolean : V extends string ? string : never;
/** The values of a config, as `forward` sees them. */
export type Config<C extends ConfigKeys = ConfigKeys> = { readonly [K in keyof C]: Widened<C[K]> };

export const oneOf = <const V extends string>(...values: readonly [V, ...V[]]): OneOf<V> => ({ oneOf: values });

/** Axes, sizes and dtype of an input, before there is a graph to put it in. */
export interface TensorSpec<A extends string = string, D extends DType = DType> {
  readonly axes: A;
  readonly dtype: D;
  readonly type: TensorType;
}
export function tensor<const A extends string, D extends DType = "f32">(
  axes: A,
  sizes: Sizes<A>,
  dtype?: D,
): TensorSpec<A, NoInfer<D>> {
  const kind = (dtype ?? "f32") as D;
  return { axes, dtype: kind, type: typeOf(axes, sizes, kind) };
}
type Specs = Readonly<Record<string, TensorSpec>>;
/** What `inputs` returns: an input that this config does not have is undefined there, and so is its tensor in `forward`. */
type MaybeSpecs = Readonly<Record<string, TensorSpec | undefined>>;
type TensorOf<S> = S extends TensorSpec ? Tensor<S["axes"], S["dtype"]> : undefined;
type Tensors<I extends MaybeSpecs> = { readonly [N in keyof I]: TensorOf<I[N]> };

/** The network under one config, for whoever makes entries of it. */
export interface TracedModel {
  readonly name: string;
  readonly config: Readonly<Record<string, ConfigValue>>;
  readonly inputs: Specs;
  /** Where the model was defined: the place of all that is wrong with it as a whole. */
  readonly site: Site | undefined;
  /** Declares the inputs of the model, all or those named, as inputs of the function being traced. */
  declare(names?: readonly string[]): Readonly<Record<string, AnyTensor>>;
  /** Runs the network on tensors of the running trace. */
  forward(inputs: Readonly<Record<string, AnyTensor>>): Readonly<Record<string, AnyTensor>>;
}

/** One function of the compiled program; `build` runs inside a trace and returns the results by name. */
export interface EntrySpec {
  readonly name: string;
  /** "state": the entry updates the weights, and takes them as `p.<name>`. */
  readonly weights?: "state";
  /** A part of a schedule that is no entry by itself. */
  readonly internal?: boolean;
  build(): Readonly<Record<string, AnyTensor>>;
}

/** An entry made of functions run one after another, some of them repeatedly; state goes from one to the next by name. */
export interface Schedule {
  readonly name: string;
  readonly segments: readonly { readonly fn: string; readonly repeat: number }[];
}

/** What a network is for. */
export interface Objective {
  /** Its own config keys with defaults: learning rate, number of sampling steps. */
  readonly config: ConfigKeys;
  entries(model: TracedModel, config: Readonly<Record<string, ConfigValue>>): readonly EntrySpec[];
  schedules?(config: Readonly<Record<string, ConfigValue>>): readonly Schedule[];
  /** What is wrong with these values, as a sentence; undefined when nothing is. */
  check?(config: Readonly<Record<string, ConfigValue>>): string | undefined;
}

export interface ModelSpec<C extends ConfigKeys, I extends MaybeSpecs> {
  readonly name: string;
  /** Keys with their defaults; `--set key=value` changes them. */
  readonly config: C;
  readonly presets?: Readonly<Record<string, { readonly [K in keyof C]?: Widened<C[K]> }>>;
  readonly defaultPreset?: string;
  readonly inputs: (config: Config<C>) => I;
  readonly forward: (config: Config<C>, inputs: Tensors<I>) => Readonly<Record<string, AnyTensor>>;
  readonly objective?: Objective;
  /** What is wrong with these values ("patchSize 3 does not divide inputSize 32"); undefined when nothing is. */
  readonly check?: (config: Config<C>) => string | undefined;
  /** Multiply-adds of one forward pass of one sample in units of 10⁹, as a paper counts them; the report shows it beside ours. */
  readonly gflops?: (config: Config<C>) => number;
}

/** A model with the types of its config and inputs erased: what the compiler works with. */
export interface ModelDefinition {
  readonly name: string;
  readonly config: ConfigKeys;
  readonly presets: Readonly<Record<string, Readonly<Record<string, ConfigValue>>>>;
  readonly defaultPreset: string | undefined;
  readonly objective: Objective | undefined;
  readonly gflops: ((config: Readonly<Record<string, ConfigValue>>) => number) | undefined;
  readonly check: ((config: Readonly<Record<string, ConfigValue>>) => string | undefined) | undefined;
  /** Where it was defined. */
  readonly site: Site | undefined;
  configured(config: Readonly<Record<string, ConfigValue>>): TracedModel;
}

const definitions = new WeakSet<object>();
export const isModelDefinition = (x: unknown): x is ModelDefinition => typeof x === "object" && x !== null && definitions.has(x);

export function defineModel<C extends ConfigKeys, I extends MaybeSpecs>(spec: ModelSpec<C, I>): ModelDefinition {
  const presets = (spec.presets ?? {}) as ModelDefinition["presets"];
  if (spec.defaultPreset !== undefined && !presets[spec.defaultPreset]) {
    refuse(
      "DIT1102",
      `default preset "${spec.defaultPreset}" is not among the presets: ${Object.keys(presets).join(", ") || "there are none"}`,
      { help: "name one of them, or leave defaultPreset out" },
    );
  }
  for (const key of Object.keys(spec.objective?.config ?? {})) {
    if (key in spec.config) {
      refuse("DIT1102", `config key "${key}" belongs to the objective`, { help: "give the model's key another name" });
    }
  }
  const site = currentSite();
  const definition: ModelDefinition = {
    name: spec.name,
    config: spec.config,
    presets,
    defaultPreset: spec.defaultPreset,
    objective: spec.objective,
    gflops: spec.gflops as ModelDefinition["gflops"],
    check: spec.check as ModelDefinition["check"],
    site,
    configured: (config) => configured(spec as unknown as ModelSpec<ConfigKeys, MaybeSpecs>, config, site),
  };
  definitions.add(definition);
  return definition;
}

function configured(
  spec: ModelSpec<ConfigKeys, MaybeSpecs>,
  config: Readonly<Record<string, ConfigValue>>,
  site: Site | undefined,
): TracedModel {
  const inputs = Object.fromEntries(Object.entries(spec.inputs(config)).flatMap(([name, s]) => (s ? [[name, s]] : []))) as Specs;
  return {
    name: spec.name,
    config,
    inputs,
    site,
    declare: (names = Object.keys(inputs)) =>
      Object.fromEntries(
        names.map((n) => [n, input(n, specOf(inputs, n).axes, sizesOf(specOf(inputs, n).type), specOf(inputs, n).dtype)]),
      ),
    forward: (given) => {
      const tensors = Object.fromEntries(
        Object.entries(inputs).map(([name, { axes, dtype }]) => {
          const x = given[name] ?? refuse("DIT1206", `${spec.name} takes an input "${name}", which it was not given`);
          return [name, named(x, axes, dtype)];
        }),
      );
      return spec.forward(config, tensors);
    },
  };
}

const specOf = (specs: Specs, name: string): TensorSpec => specs[name] ?? refuse("DIT1206", `the model has no input "${name}"`);
const sizesOf = (type: TensorType) => Object.fromEntries(type.axes.map((name, i) => [name, type.shape[i]!])) as Sizes<string>;
