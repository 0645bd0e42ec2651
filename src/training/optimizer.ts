/**
 * AdamW and the moving average of the weights, as graph functions: they compile into the same kernels as the model. One update of one
 * parameter is one elementwise region that reads p, m, v, ema and the gradient and writes the first four where they lie.
 * A step whose loss or gradient is not finite changes nothing. Source: Loshchilov and Hutter 2019; dit-spec section 4.
 */
import { expandTo, fill } from "../dsl/broadcast.js";
import { concat, scalar, sum, where } from "../dsl/functions.js";
import { wrap } from "../dsl/methods.js";
import type { AnyTensor, Tensor } from "../dsl/tensor.js";
import { emit } from "../dsl/trace.js";
import type { Value } from "../ir/graph.js";
import { printType } from "../ir/types.js";

export interface OptimizerSettings {
  readonly learningRate: number;
  /** Steps over which the learning rate grows linearly from 0; 0: none. */
  readonly warmupSteps: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Largest global gradient norm; 0: no clipping. */
  readonly clipNorm: number;
  readonly emaDecay: number;
  /** Decay is min(emaDecay, (1 + step) / (10 + step)), so that a short run's average is not its first weights. */
  readonly emaWarmup: boolean;
  /** Batches whose mean gradient a step takes. */
  readonly accumulate: number;
  /** Gradients are taken of a scaled loss, see loss-scale.ts. */
  readonly lossScaling: boolean;
}

type Any = Tensor<string>;
type Scalar = Tensor<"">;

/** Numbers of this step that every parameter's update reads, packed into one small tensor: [lr / (1 - β1ᵗ), 1 / √(1 - β2ᵗ), lr·wd, 1 - decay, gradient scale, finite]. */
export interface StepNumbers {
  readonly packed: Tensor<"number">;
  readonly gradientNorm: Scalar;
  /** Of this step; 0 when it is not taken. */
  readonly learningRate: Scalar;
  /** Whether loss and gradients are finite, so that the step is taken. */
  readonly good: Tensor<"", "bool">;
  /** The number of updates after this step: one more, unless it was not finite. */
  readonly next: Tensor<"", "i32">;
}

/**
 * `step` counts completed updates; `loss` and all gradients decide whether this one is taken. `inverse`: what the gradients have to be
 * multiplied by, where their loss was scaled.
 */
export function stepNumbers(
  s: OptimizerSettings,
  step: Tensor<"", "i32">,
  loss: Scalar,
  gradients: readonly AnyTensor[],
  inverse?: Scalar,
): StepNumbers {
  const done = step.cast("f32");
  const t = done.add(1);
  const rate =
    s.warmupSteps > 0
      ? t
          .mul(1 / s.warmupSteps)
          .minimum(1)
          .mul(s.learningRate)
      : scalar(s.learningRate);
  // 1 - βᵗ as -(e^(t ln β) - 1): near t = 0 the plain form would lose most of its digits.
  const correction = (beta: number): Scalar => t.mul(Math.log(beta)).expm1().neg();
  const norm = sum(sumOfSquares(gradients), "part").sqrt() as unknown as Scalar;
  const gradientNorm = inverse ? norm.mul(inverse) : norm;
  const good = loss.add(gradientNorm).isFinite();
  const finite = where(good, scalar(1), scalar(0)) as Scalar;
  const clip = s.clipNorm > 0 ? scalar(s.clipNorm).div(gradientNorm.add(1e-6)).minimum(1) : scalar(1);
  const decay = s.emaWarmup ? t.div(done.add(10)).minimum(s.emaDecay) : scalar(s.emaDecay);
  const numbers = [
    rate.div(correction(s.beta1)),
    correction(s.beta2).rsqrt(),
    rate.mul(s.weightDecay),
    decay.neg().add(1),
    inverse ? clip.mul(inverse) : clip,
    finite,
  ];
  const packed = concat(
    numbers.map((x) => x.expand("number", { number: 1 })),
    "number",
  );
  const learningRate = where(good, rate, 0) as Scalar;
  return { packed, gradientNorm, learningRate, good, next: where(good, step.add(1), step) as Tensor<"", "i32"> };
}

/** In parts, because many workgroups go through the gradients. */
const PARTS = 128;

const sumOfSquares = (tensors: readonly AnyTensor[]): Tensor<"part"> =>
  wrap<"part", "f32">(
    emit(
      "sum_of_squares",
      tensors.map((x) => x.value),
      { parts: PARTS },
    ),
  );

export interface Moments {
  readonly p: AnyTensor;
  readonly m: AnyTensor;
  readonly v: AnyTensor;
  readonly ema: AnyTensor;
}

/**
 * Gives the next p, m, v and ema of one parameter after the other. What all of them read, and all of one type, is made for the first of
 * them: hundreds of weights are of few types, and no pass has to go through it for each.
 */
export function adamw(s: OptimizerSettings, numbers: Tensor<"number">): (gradient: AnyTensor, state: Moments) => Moments {
  const made = new Map<string, Any>();
  const once = (key: string, make: () => Any): Any => {
    const known = made.get(key) ?? make();
    made.set(key, known);
    return known;
  };
  const number = (i: number): Any => once(`number ${i}`, () => numbers.select("number", i) as unknown as Any);
  const finite = (): Any => once("finite", () => number(5).gt(0.5) as unknown as Any);
  const like = ({ type }: AnyTensor, scalar: Any): Value => expandTo(scalar.value, type.axes, type.shape);
  return (gradient, state) => {
    const [p, m, v, ema] = [state.p, state.m, state.v, state.ema] as Any[] as [Any, Any, Any, Any];
    const type = printType(p.type);
    const at = (i: number): Any => once(`${i}: ${type}`, () => wrap(like(p, number(i))));
    const the = (value: number): Any => once(`= ${value}: ${type}`, () => wrap(fill(value, p.type)));
    const g = (gradient as Any).mul(at(4));
    const m1 = m.mul(the(s.beta1)).add(g.mul(the(1 - s.beta1)));
    const v1 = v.mul(the(s.beta2)).add(g.square().mul(the(1 - s.beta2)));
    const p1 = p.sub(p.mul(at(2))).sub(m1.mul(at(0)).div(v1.sqrt().mul(at(1)).add(the(s.epsilon))));
    // decay · ema + (1 - decay) · p, as a step towards p: exact where the two are equal.
    const ema1 = ema.add(p1.sub(ema).mul(at(3)));
    const taken = once(`finite: ${type}`, () => wrap(like(p, finite()))) as unknown as Tensor<string, "bool">;
    const keep = (next: Any, old: Any): Any => where(taken, next, old) as Any;
    return { p: keep(p1, p), m: keep(m1, m), v: keep(v1, v), ema: keep(ema1, ema) };
  };
}
