/**
 * What an optimizer has learned, by the names of the weights: both moments of Adam, and the number of steps. PyTorch numbers the
 * parameters in the order of model.parameters(), which is that of the state dict; this program's own order is another, so names decide.
 */
import { fail } from "../diagnostics/diagnostic.js";
import { describe, type Pickled } from "../formats/pickle.js";
import type { TensorView } from "../formats/tensor-view.js";
import { TorchTensor } from "../formats/torch.js";
import type { Checkpoint, Tensors } from "./open.js";

export interface OptimizerState {
  /** Updates done. */
  readonly steps: number;
  /** By official names; a parameter that is not trained has none. */
  readonly moments: ReadonlyMap<string, { readonly m: TensorView; readonly v: TensorView }>;
  /** Settings of AdamW, by the keys of a model's settings. */
  readonly settings: Readonly<Record<string, number>>;
}

const SETTINGS = { learningRate: "lr", epsilon: "eps", weightDecay: "weight_decay" } as const;

/** Undefined: the checkpoint has none. Error: DIT4078 (it does not fit the model beside it, or is of another optimizer than Adam). */
export async function optimizerState(checkpoint: Checkpoint): Promise<OptimizerState | undefined> {
  const { label, optimizer, parts } = checkpoint;
  const model = parts.get("model");
  if (!optimizer || !model) return undefined;
  return "own" in optimizer ? ownState(optimizer.own) : torchState(label, optimizer.torch, model);
}

async function ownState(own: Tensors): Promise<OptimizerState> {
  const moments = new Map<string, { m: TensorView; v: TensorView }>();
  for (const [name, v] of own) {
    const m = name.startsWith("v.") ? own.get(`m.${name.slice(2)}`) : undefined;
    if (m) moments.set(name.slice(2), { m, v });
  }
  const steps = Number((await own.get("step")?.read())?.[0] ?? 0);
  return { steps, moments, settings: {} };
}

async function torchState(label: string, opt: Pickled, model: Tensors): Promise<OptimizerState> {
  const bad = (what: string): never =>
    fail("DIT4078", `${label}: its optimizer state cannot be taken over: ${what}`, {
      help: "import the weights alone, into a name that ends in .safetensors, and begin with them: train --weights FILE",
    });
  const dict = (value: Pickled | undefined, what: string): ReadonlyMap<Pickled, Pickled> =>
    value instanceof Map ? value : bad(`${what} is ${value === undefined ? "missing" : describe(value)}, expected a dict`);
  const root = dict(opt, "opt");
  const state = dict(root.get("state"), "opt.state");
  const groups = root.get("param_groups");
  if (!Array.isArray(groups) || groups.length === 0) return bad("opt.param_groups is missing");
  const order = groups.flatMap((group, i) => {
    const params = dict(group, `opt.param_groups[${i}]`).get("params");
    return Array.isArray(params) ? (params as Pickled[]) : bad(`opt.param_groups[${i}].params is missing`);
  });
  const names =
    namesOf([...model.keys()], order.length) ?? bad(`it is of ${order.length} parameters, the model has ${model.size}`);
  const moments = new Map<string, { m: TensorView; v: TensorView }>();
  let steps: { count: number; name: string } | undefined;
  for (const [k, index] of order.entries()) {
    const name = names[k]!;
    if (!state.has(index)) continue;
    const entry = dict(state.get(index), `opt.state[${describe(index)}]`);
    const moment = (key: string): TensorView => {
      const tensor = entry.get(key);
      const { shape } = model.get(name)!;
      if (tensor instanceof TorchTensor && tensor.shape.join() === shape.join()) return tensor;
      const found =
        tensor instanceof TorchTensor ? `[${tensor.shape.join(", ")}]` : tensor === undefined ? "none" : describe(tensor);
      return bad(`${key} of parameter ${describe(index)}, "${name}": expected [${shape.join(", ")}], found ${found}`);
    };
    moments.set(name, { m: moment("exp_avg"), v: moment("exp_avg_sq") });
    if (entry.has("max_exp_avg_sq")) bad(`it has max_exp_avg_sq (amsgrad) of "${name}"`);
    const step = entry.get("step");
    const count = step instanceof TorchTensor && step.shape.every((n) => n === 1) ? Number((await step.read())[0]) : step;
    if (!Number.isSafeInteger(count) || (count as number) < 0) {
      return bad(`step of "${name}" is ${step === undefined ? "missing" : step instanceof TorchTensor ? count : describe(step)}`);
    }
    steps ??= { count: count as number, name };
    if (steps.count !== count) bad(`"${steps.name}" has done ${steps.count} steps, "${name}" ${count}`);
  }
  const first = dict(groups[0], "opt.param_groups[0]");
  const settings = Object.fromEntries(
    Object.entries(SETTINGS).flatMap(([key, from]) =>
      typeof first.get(from) === "number" ? [[key, first.get(from) as number]] : [],
    ),
  );
  const betas = first.get("betas");
  if (Array.isArray(betas) && betas.length === 2 && betas.every((b) => typeof b === "number")) {
    Object.assign(settings, { beta1: betas[0], beta2: betas[1] });
  }
  return { steps: steps?.count ?? 0, moments, settings };
}

/** All parameters, as the official trainer gives them to its optimizer, or those that are trained. */
function namesOf(names: readonly string[], count: number): readonly string[] | undefined {
  if (count === names.length) return names;
  const trained = names.filter((name) => name !== "pos_embed");
  return count === trained.length ? trained : undefined;
}
