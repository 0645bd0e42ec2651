type Results = ReadonlyMap<string, ArrayLike<number>>;

export interface Difference {
  readonly name: string;
  readonly maxAbs: number;
  /** Share of the largest expected value. */
  readonly relative: number;
  readonly limit: number;
}

export function differences(expected: Results, found: Results): readonly Difference[];
export function right(check: readonly Difference[], errors?: readonly string[]): boolean;
