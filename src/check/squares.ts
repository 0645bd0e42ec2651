/**
 * The sum of squares of whole buffers, which a kernel gives in parts: which part holds what is not said, so their sum is compared, and all
 * of the operands is read, a piece at a time.
 */
import type { Computation } from "../codegen/computation.js";
import { concreteShape } from "../ir/eval.js";
import { rowMajor } from "../ir/strides.js";
import { evaluate } from "../program/size.js";
import type { Session } from "../runtime/session.js";
import type { Expected } from "./check.js";
import type { Pages } from "./pages.js";

const PIECE = 1 << 20;

/** Undefined: it computes something else. */
export async function sumOfSquares(
  session: Session,
  { body, params, results }: Computation,
  pages: Pages,
): Promise<Expected | undefined> {
  if (!body.nodes.some(({ op }) => op === "sum_of_squares")) return undefined;
  const { batch } = session;
  let [total, elements] = [0, 0];
  for (const storage of params) {
    const size = evaluate(session.program.storages[storage]!.bytes, batch) / 4;
    const lying = { storage, dtype: "f32", strides: [1], offset: 0 } as const;
    for (let from = 0; from < size; from += PIECE) {
      const numbers = await pages.box(lying, [{ from, size: Math.min(PIECE, size - from) }]);
      for (const x of numbers) total += x * x;
    }
    elements += size;
  }
  const { type } = body.results[0]!.value;
  const shape = concreteShape(type, batch);
  const parts = shape.reduce((n, size) => n * size, 1);
  // A part is a sum of so many squares one after the other, each addition of which rounds: errors add up as a random walk does.
  const allowed = 20 * 2 ** -24 * Math.sqrt(Math.max(1, elements / parts)) * total;
  const strides = rowMajor(type.shape).map((size) => evaluate(size, batch));
  const read = async () => {
    const whole = shape.map((size) => ({ from: 0, size }));
    const numbers = await pages.box({ storage: results[0]!.storage, dtype: type.dtype, strides, offset: 0 }, whole);
    return [numbers.reduce((a, x) => a + x, 0)];
  };
  return { places: [[]], exact: [total], allowed, read };
}
