/**
 * Dynamic loss scaling (Micikevicius et al. 2018, "Mixed Precision Training", section 3.2): gradients of activations that are stored in f16
 * lose what is below 6e-8, so the loss is multiplied by a power of two before gradients are taken, and the gradients of the weights, which
 * are f32, are divided by it. Both are exact. The power is found as it goes: halved after a step whose gradients were not finite, which
 * changes no weight, and doubled after 2000 steps that were, as PyTorch's GradScaler does; it is a state like any other.
 */
import { input, table } from "../dsl/declare.js";
import { gather, where } from "../dsl/functions.js";
import type { AnyTensor, Tensor } from "../dsl/tensor.js";

/** Where it begins, and how far it may go: 2^0 to 2^24. */
const START = 16;
const MOST = 24;
/** Good steps until it is doubled. */
const INTERVAL = 2000;

/** State of the scale: both i32 scalars that begin as 0. */
const STATE = ["loss_scale_exponent", "loss_scale_steps"] as const;

export interface LossScale {
  readonly scale: Tensor<"">;
  readonly inverse: Tensor<"">;
  /** The state after a step, and `loss_scale`, what this one was scaled by. `good`: whether it was taken. */
  readonly results: (good: Tensor<"", "bool">) => Record<string, AnyTensor>;
}

export function lossScale(): LossScale {
  // Counted from where it begins, so that memory that begins as zeros is a state.
  const [exponent, steps] = STATE.map((name) => input(name, "", {}, "i32", "state")) as [Tensor<"", "i32">, Tensor<"", "i32">];
  const at = (name: string, sign: number) => {
    const powers = Float64Array.from({ length: MOST + 1 }, (_, k) => 2 ** (sign * k));
    return gather(table(name, "power", { power: MOST + 1 }, powers), exponent.add(START), "power") as unknown as Tensor<"">;
  };
  const scale = at("loss_scale.powers", 1);
  const results = (good: Tensor<"", "bool">) => {
    const whole = steps.add(1).ge(INTERVAL);
    const next = where(good, where(whole, exponent.add(1), exponent), exponent.sub(1)) as Tensor<"", "i32">;
    return {
      loss_scale_exponent: next.maximum(-START).minimum(MOST - START),
      loss_scale_steps: where(good, where(whole, 0, steps.add(1)), 0),
      loss_scale: scale,
    };
  };
  return { scale, inverse: at("loss_scale.inverse", -1), results };
}
