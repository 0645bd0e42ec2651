/**
 * Index arithmetic of a kernel, kept symbolic until it is printed: an index is Σ coefficient · atom + constant, where atoms are u32
 * variables of the kernel (loop axes, or names given to a quotient or remainder) and coefficients are sizes. Staying affine as long as
 * possible is what turns a chain of views into plain strides.
 */
import { add as addSize, mul as mulSize, printSize, type Size, sameSize } from "../program/size.js";

export interface Atom {
  /** WGSL expression, usually a variable. */
  readonly name: string;
  /** The atom runs over [0, range). */
  readonly range: Size;
}

export interface Affine {
  readonly terms: readonly { readonly atom: Atom; readonly by: Size }[];
  readonly constant: Size;
}

export const zero: Affine = { terms: [], constant: 0 };
export const constant = (value: Size): Affine => ({ terms: [], constant: value });
export const atom = (a: Atom): Affine => (sameSize(a.range, 1) ? zero : { terms: [{ atom: a, by: 1 }], constant: 0 });

export function plus(a: Affine, b: Affine): Affine {
  const terms = [...a.terms];
  for (const t of b.terms) {
    const i = terms.findIndex((u) => u.atom.name === t.atom.name);
    if (i < 0) terms.push(t);
    else terms[i] = { atom: t.atom, by: addSize(terms[i]!.by, t.by) };
  }
  return { terms: terms.filter((t) => !sameSize(t.by, 0)), constant: addSize(a.constant, b.constant) };
}

export const times = (a: Affine, by: Size): Affine =>
  sameSize(by, 0)
    ? zero
    : { terms: a.terms.map((t) => ({ atom: t.atom, by: mulSize(t.by, by) })), constant: mulSize(a.constant, by) };

/** How much `a` grows with one step of the atom. */
export const coefficient = (a: Affine, name: string): Size => a.terms.find((t) => t.atom.name === name)?.by ?? 0;

/** Exact quotient of sizes, where one is plain: the same size, a number that divides, or a polynomial whose coefficients all divide. */
export function quotient(a: Size, b: Size): Size | undefined {
  if (sameSize(a, b)) return 1;
  if (sameSize(b, 1)) return a;
  if (typeof b === "number") {
    const c = typeof a === "number" ? [a] : a;
    return c.every((x) => x % b === 0)
      ? c.reduce((acc: Size, x, i) => addSize(acc, i === 0 ? x / b : [...new Array<number>(i).fill(0), x / b]), 0)
      : undefined;
  }
  if (typeof a === "number") return a === 0 ? 0 : undefined;
  // One-term polynomials: k·Bⁿ / m·Bʲ.
  const [i, j] = [a.findIndex((x) => x !== 0), b.findIndex((x) => x !== 0)];
  if (i !== a.length - 1 || j !== b.length - 1 || i < j || a[i]! % b[j]! !== 0) return undefined;
  return i === j ? a[i]! / b[j]! : [...new Array<number>(i - j).fill(0), a[i]! / b[j]!];
}

/** a / n and a mod n, when they are affine too: whole multiples of n on one side, a single atom below n on the other. */
export function divide(a: Affine, n: Size): { readonly div: Affine; readonly mod: Affine } | undefined {
  if (sameSize(n, 1)) return { div: a, mod: zero };
  let div: Affine = zero;
  let mod: Affine = zero;
  for (const t of a.terms) {
    const q = quotient(t.by, n);
    if (q !== undefined) div = plus(div, { terms: [{ atom: t.atom, by: q }], constant: 0 });
    else mod = plus(mod, { terms: [t], constant: 0 });
  }
  const q = quotient(a.constant, n);
  if (q === undefined) return undefined;
  div = plus(div, constant(q));
  return below(mod, n) ? { div, mod } : undefined;
}

/** Whether Σ stays under n: atoms that nest like the digits of a number whose top is n. */
function below(a: Affine, n: Size): boolean {
  let limit: Size = n;
  const left = [...a.terms];
  while (left.length > 0) {
    const i = left.findIndex((t) => sameSize(mulSize(t.by, t.atom.range), limit));
    if (i < 0) return left.length === 1 && smaller(mulSize(left[0]!.by, left[0]!.atom.range), limit);
    limit = left[i]!.by;
    left.splice(i, 1);
  }
  return true;
}

const smaller = (a: Size, b: Size): boolean => typeof a === "number" && typeof b === "number" && a <= b;

export const key = (a: Affine): string =>
  [...a.terms.map((t) => `${t.atom.name}*${printSize(t.by)}`).sort(), printSize(a.constant)].join("+");

/** The index as WGSL; sizes other than 0 and 1 are read from the uniform, so that one text serves every shape. */
export function printIndex(a: Affine, size: (s: Size) => string): string {
  const terms = a.terms.map((t) => (sameSize(t.by, 1) ? t.atom.name : `${t.atom.name} * ${size(t.by)}`));
  if (!sameSize(a.constant, 0)) terms.push(size(a.constant));
  return terms.length === 0 ? "0u" : terms.join(" + ");
}
