/**
 * What an objective demands of a model: inputs, config keys and a result that it can work with. A model that lacks one is told what
 * is wanted, what it has, and what to write; without this the first formula that misses a tensor would speak, of something else.
 */

import { type DType, printType } from "../ir/types.js";
import { type Size, sameSize } from "../program/size.js";
import type { ConfigValue, TracedModel } from "./model.js";
import { placedAt, refuse, type Site } from "./sites.js";
import type { AnyTensor, Tensor } from "./tensor.js";

/** Refuses at the place of the model: no call of its file is running. */
const demand = (
  site: Site | undefined,
  message: string,
  more: { readonly notes?: readonly string[]; readonly help: string },
): never => placedAt(site, () => refuse("DIT1206", message, more));

/** Inputs by name, as dtype and axes. An input with a `?` at the end of its name may be missing. */
export function demandInputs(
  objective: string,
  { name, inputs, site }: TracedModel,
  wanted: Readonly<Record<string, readonly [dtype: DType, axes: string]>>,
): void {
  const has = Object.entries(inputs).map(([input, { axes, dtype }]) => `${input}: ${dtype} [${axes}]`);
  for (const [key, [dtype, axes]] of Object.entries(wanted)) {
    const input = key.replace(/\?$/, "");
    const found = inputs[input];
    if (found ? found.axes === axes && found.dtype === dtype : key !== input) continue;
    const what = `${objective} takes the input "${input}" as ${dtype} [${axes}]`;
    const sizes = axes.split(" ").filter((axis) => axis !== "batch");
    const spec = `tensor("${axes}", {${sizes.map((axis) => ` ${axis}: …`).join(",")}${sizes.length > 0 ? " " : ""}}${dtype === "f32" ? "" : `, "${dtype}"`})`;
    demand(site, `${what}, ${found ? `${name} has ${found.dtype} [${found.axes}]` : `${name} has none of this name`}`, {
      notes: [`inputs of ${name}: ${has.join(", ") || "none"}`],
      help: `inputs: (c) => ({ …, ${input}: ${spec} })`,
    });
  }
}

/** Config keys of the model that hold numbers. */
export function demandNumbers(
  objective: string,
  { name, config, site }: TracedModel,
  keys: Readonly<Record<string, string>>,
): void {
  for (const [key, meaning] of Object.entries(keys)) {
    const value: ConfigValue | undefined = config[key];
    if (typeof value === "number") continue;
    const found = value === undefined ? "has none of this name" : `has ${JSON.stringify(value)}`;
    demand(site, `${objective} takes the config key "${key}", a number: ${meaning}; ${name} ${found}`, {
      help: `config: { …, ${key}: … }`,
    });
  }
}

/** The result `out` of a forward pass, with these axes; sizes that are given must be its own. */
export function demandOut<const A extends string>(
  objective: string,
  model: TracedModel,
  results: Readonly<Record<string, AnyTensor>>,
  axes: A,
  sizes: Readonly<Record<string, readonly Size[]>> = {},
): Tensor<A> {
  const names = Object.keys(results).join(", ");
  const { out } = results;
  if (!out) {
    return demand(
      model.site,
      `${objective} takes the result "out" of forward, f32 [${axes}]; ${model.name} returns ${names || "nothing"}`,
      {
        help: "return { out: … } from forward",
      },
    );
  }
  const { type } = out.value;
  const fits = out.axes === axes && out.dtype === "f32";
  const wrong =
    fits && type.axes.find((axis, i) => !(sizes[axis] ?? [type.shape[i]!]).some((size) => sameSize(size, type.shape[i]!)));
  if (fits && wrong === undefined) return out as unknown as Tensor<A>;
  const wanted = axes
    .split(" ")
    .map((axis) => (sizes[axis] ? `${axis}: ${sizes[axis].join(" or ")}` : axis))
    .join(", ");
  return demand(
    model.site,
    `${objective} takes the result "out" of forward as f32 [${wanted}]; ${model.name} returns ${printType(type)}`,
    {
      help: "rename, transpose, split or merge the axes at the end of forward",
    },
  );
}
