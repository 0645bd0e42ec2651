/** Python expressions: a text and how tightly its outermost operator binds, so that parentheses stand only where they must. */
export interface Expression {
  readonly text: string;
  readonly binds: Binds;
}

/** compare < sum < product < call. */
export type Binds = 0 | 1 | 2 | 3;

export const call = (text: string): Expression => ({ text, binds: 3 });

/** As an operand of something that binds so. */
export const operand = ({ text, binds }: Expression, least: Binds): string => (binds >= least ? text : `(${text})`);

/** `x.method(…)`, `x[…]` */
export const after = (x: Expression, suffix: string): Expression => call(`${operand(x, 3)}${suffix}`);

/** A tuple; that of one element ends with a comma. */
export const tuple = (parts: readonly (string | number)[]): string =>
  parts.length === 1 ? `(${parts[0]},)` : `(${parts.join(", ")})`;

/** A number as Python reads it back to the same bits. */
export function number(value: number, whole: boolean): string {
  if (Number.isNaN(value)) return 'float("nan")';
  if (!Number.isFinite(value)) return value > 0 ? 'float("inf")' : 'float("-inf")';
  const text = Object.is(value, -0) ? "-0" : String(value);
  return whole || /[.e]/.test(text) ? text : `${text}.0`;
}
