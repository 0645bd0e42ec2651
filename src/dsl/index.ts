/** The language of a model file. */
export type { Refused } from "./axes.js";
export {
  batch,
  type DrawKey,
  draw,
  embedding,
  input,
  type LinearOptions,
  linear,
  type ParamOptions,
  param,
  table,
} from "./declare.js";
export {
  concat,
  dot,
  fill,
  gather,
  gelu,
  iota,
  max,
  mean,
  named,
  normalize,
  scalar,
  silu,
  softmax,
  stopGradient,
  sum,
  where,
} from "./functions.js";
export { type Init, type InitOf, init } from "./init.js";
export {
  type Config,
  type ConfigKeys,
  type ConfigValue,
  defineModel,
  type EntrySpec,
  type ModelDefinition,
  type Objective,
  oneOf,
  type TensorSpec,
  type TracedModel,
  tensor,
} from "./model.js";
export type { AnyTensor, Sizes, Tensor } from "./tensor.js";
