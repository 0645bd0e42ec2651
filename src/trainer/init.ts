/**
 * Fresh weights, by the rules of the DiT paper.
 *
 * Idea: a weight is a pure function of (seed, parameter name, element index), through the counter RNG. So a model does not depend on
 * the order in which its parameters are made, a renamed layer changes no other, and any machine makes the same bits.
 */
import { fail } from "../diagnostics/diagnostic.js";
import { drawBits, drawNormal, keyOf, normalTable, purposeOf } from "../program/random.js";

export type InitRule =
  /** Uniform in (-b, b), b = sqrt(6 / (fanIn + fanOut)): Glorot and Bengio 2010. */
  | { readonly rule: "xavier_uniform"; readonly fanIn: number; readonly fanOut: number }
  | { readonly rule: "normal"; readonly std: number }
  | { readonly rule: "zeros" }
  | { readonly rule: "ones" }
  /** Given numbers, row-major: a fixed position embedding, for one. */
  | { readonly rule: "table"; readonly data: ArrayLike<number> };

export interface InitParameter {
  /** Its key in the state dict, like "blocks.0.attn.qkv.weight". */
  readonly name: string;
  readonly shape: readonly number[];
  readonly init: InitRule;
}

/**
 * Weights for all parameters, f32, row-major, by name in the order given. `seed` is a whole number from 0 to 2^53 - 1.
 * Errors: DIT4201 (seed), DIT4202 (a rule does not fit its parameter), DIT4203 (two names share a stream of random numbers).
 */
export function initialise(parameters: readonly InitParameter[], seed: number): Map<string, Float32Array<ArrayBuffer>> {
  const make = initialiser(parameters, seed);
  return new Map(parameters.map(({ name }) => [name, make(name)]));
}

/** The same, one parameter at a time: a large model need not be in memory as a whole. Errors as above, DIT4202 when it is made. */
export function initialiser(parameters: readonly InitParameter[], seed: number): (name: string) => Float32Array<ArrayBuffer> {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    fail("DIT4201", `seed ${seed} is not a whole number from 0 to ${Number.MAX_SAFE_INTEGER}`, { help: "choose one, like 0" });
  }
  const table = normalTable();
  const purposes = new Map<number, string>();
  for (const parameter of parameters) {
    const purpose = purposeOf(parameter.name);
    const other = purposes.get(purpose);
    if (other !== undefined) {
      fail("DIT4203", `parameters "${other}" and "${parameter.name}" would get the same random numbers`, {
        help:
          other === parameter.name
            ? "give each parameter a name of its own"
            : "rename one of them: their names have the same hash",
      });
    }
    purposes.set(purpose, parameter.name);
  }
  const byName = new Map(parameters.map((parameter) => [parameter.name, parameter]));
  return (name) => fill(byName.get(name)!, seed, purposeOf(name), table);
}

function fill({ name, shape, init }: InitParameter, seed: number, purpose: number, table: Int32Array): Float32Array<ArrayBuffer> {
  const refuse = (found: string, help: string): never =>
    fail("DIT4202", `parameter "${name}" [${shape.join(", ")}]: ${found}`, { help });
  const count = shape.reduce((product, size) => product * size, 1);
  if (!Number.isSafeInteger(count) || count < 0) refuse("its sizes are not whole numbers", "give sizes from 0");
  const key = keyOf(seed, purpose, 0);
  switch (init.rule) {
    case "zeros":
      return new Float32Array(count);
    case "ones":
      return new Float32Array(count).fill(1);
    case "normal": {
      const { std } = init;
      if (!(std >= 0 && std < Number.POSITIVE_INFINITY)) refuse(`std is ${std}`, "give a number from 0, like 0.02");
      const values = new Float32Array(count);
      for (let i = 0; i < count; i++) values[i] = std * drawNormal(drawBits(key, i, 0), table);
      return values;
    }
    case "xavier_uniform": {
      const fans = init.fanIn + init.fanOut;
      if (!(fans > 0 && fans < Number.POSITIVE_INFINITY)) {
        refuse(`fanIn is ${init.fanIn}, fanOut ${init.fanOut}`, "give the numbers of inputs and outputs");
      }
      const bound = Math.sqrt(6 / fans);
      const values = new Float32Array(count);
      // Middles of 2^32 equal intervals: symmetric, and the bound itself is never passed (rounding to f32 may reach it).
      for (let i = 0; i < count; i++) values[i] = bound * ((drawBits(key, i, 0) + 0.5) * 2 ** -31 - 1);
      return values;
    }
    case "table":
      if (init.data.length !== count) refuse(`its table has ${init.data.length} numbers`, `give ${count}, row-major`);
      return Float32Array.from(init.data);
  }
}
