/**
 * Sizes: integer polynomials of the batch B. A plain number is a constant; an array holds the coefficients, lowest power first:
 * `256` is 256, `[0, 2]` is 2·B, `[4, 0, 3]` is 4 + 3·B². Batch stays symbolic from the model file to the loaded program, so one
 * compiled program runs at any batch; the packer evaluates sizes when a batch is chosen. Plain JSON on purpose.
 */
export type Size = number | readonly number[];

/** The batch itself. */
export const B: Size = [0, 1];

const coefficients = (s: Size): readonly number[] => (typeof s === "number" ? [s] : s);

/** Canonical form: constants are numbers, no trailing zero coefficients. */
function canonical(c: readonly number[]): Size {
  let n = c.length;
  while (n > 1 && c[n - 1] === 0) n--;
  return n <= 1 ? (c[0] ?? 0) : c.slice(0, n);
}

export function add(a: Size, b: Size): Size {
  if (typeof a === "number" && typeof b === "number") return a + b;
  const x = coefficients(a);
  const y = coefficients(b);
  const out: number[] = [];
  for (let i = 0; i < x.length || i < y.length; i++) out.push((x[i] ?? 0) + (y[i] ?? 0));
  return canonical(out);
}

export function mul(a: Size, b: Size): Size {
  if (typeof a === "number" && typeof b === "number") return a * b;
  const x = coefficients(a);
  const y = coefficients(b);
  const out = new Array<number>(x.length + y.length - 1).fill(0);
  for (let i = 0; i < x.length; i++) for (let j = 0; j < y.length; j++) out[i + j]! += x[i]! * y[j]!;
  return canonical(out);
}

export const sub = (a: Size, b: Size): Size => add(a, mul(b, -1));

export const product = (sizes: readonly Size[]): Size => sizes.reduce(mul, 1);

export const sameSize = (a: Size, b: Size): boolean => {
  if (typeof a === "number" || typeof b === "number") return a === b;
  return a.length === b.length && a.every((c, i) => c === b[i]);
};

/** The number that `size` is when the batch is `batch`. */
export function evaluate(size: Size, batch: number): number {
  if (typeof size === "number") return size;
  return size.reduceRight((acc: number, c) => acc * batch + c, 0);
}

/** `256`, `B`, `2*B`, `3*B^2+4`: what the IR text shows and `parseSize` reads. */
export function printSize(size: Size): string {
  if (typeof size === "number") return String(size);
  const terms: string[] = [];
  for (let power = size.length - 1; power >= 0; power--) {
    const c = size[power]!;
    if (c === 0) continue;
    const symbol = power === 0 ? "" : power === 1 ? "B" : `B^${power}`;
    terms.push(power === 0 ? String(c) : c === 1 ? symbol : `${c}*${symbol}`);
  }
  return terms.join("+").replaceAll("+-", "-");
}

/** Reads what `printSize` writes; undefined when the text is no size. */
export function parseSize(text: string): Size | undefined {
  let total: Size = 0;
  for (const [term] of text.replaceAll(/\s/g, "").matchAll(/[+-]?[^+-]+/g)) {
    const m = /^([+-]?)(?:(\d+)(?:\*(B)(?:\^(\d+))?)?|(B)(?:\^(\d+))?)$/.exec(term);
    if (!m) return undefined;
    const c = (m[1] === "-" ? -1 : 1) * Number(m[2] ?? 1);
    const power = m[3] || m[5] ? Number(m[4] ?? m[6] ?? 1) : 0;
    total = add(total, canonical([...new Array<number>(power).fill(0), c]));
  }
  return text.trim() === "" ? undefined : total;
}
