/** Tables of a model in Python: by a formula of model.py where it gives the same numbers, else the numbers themselves. */
import { deflateSync } from "node:zlib";
import { schedule } from "../../diffusion/schedule.js";
import { positionTable, timestepTable } from "../../diffusion/tables.js";
import type { DType } from "../../ir/types.js";
import { tuple } from "./expression.js";

const same = (a: Float64Array, b: Float64Array): boolean =>
  a.length === b.length && a.every((x, i) => Math.abs(x - b[i]!) <= 1e-12 * Math.max(1, Math.abs(x)));

/** The columns of what training reads of each timestep, as schedule_table has them. */
function scheduleTable(steps: number): Float64Array {
  const s = schedule("", steps);
  const columns = [
    ...[s.sqrtAlphasCumprod, s.sqrtOneMinusAlphasCumprod, s.sqrtRecipAlphasCumprod, s.sqrtRecipm1AlphasCumprod],
    ...[s.posteriorMeanCoef1, s.logBetas, s.posteriorLogVarianceClipped],
  ];
  return Float64Array.from(
    { length: steps * columns.length },
    (_, i) => columns[i % columns.length]![Math.floor(i / columns.length)]!,
  );
}

const wrapped = (text: string): string => (text.match(/.{1,100}/g) ?? []).map((line) => `    "${line}"`).join("\n");

export function tableText(data: Float64Array, shape: readonly number[], dtype: DType): string {
  const [rows = 1, columns = 1, last = 1] = shape;
  const real = dtype === "f32";
  if (real && shape.length === 2 && columns % 2 === 0 && same(data, timestepTable(rows, columns)))
    return `timestep_table(${rows}, ${columns})`;
  if (real && shape.length === 2 && columns === 7 && rows === 1000 && same(data, scheduleTable(rows)))
    return `schedule_table(${rows})`;
  const grid = Math.sqrt(columns);
  if (
    real &&
    shape.length === 3 &&
    rows === 1 &&
    Number.isInteger(grid) &&
    last % 4 === 0 &&
    same(data, positionTable(last, grid))
  )
    return `position_table(${last}, ${grid})`;
  const values = real ? Float32Array.from(data) : Int32Array.from(data);
  const text = deflateSync(new Uint8Array(values.buffer)).toString("base64");
  return `numbers(\n${wrapped(text)},\n    ${tuple(shape)},\n${real ? "" : "    torch.int32,\n"})`;
}
