/**
 * Reads of the operands in blocks of four by four, whatever way they lie: four k, and four rows of A (or columns of B) in a vec4 for each.
 * Where an operand lies in fours along its rows that is a vec4 for each k, along K four vec4 that are turned in registers, else sixteen
 * numbers. Past the end of K there are zeros; past the end of M and N the last ones again, which are never stored. Where tiles end with the
 * product at any batch, an operand that does not lie along K is not checked.
 */
import { inFours, isMultiple } from "../fours.js";
import { type Affine, coefficient } from "../index-math.js";
import { fnText } from "../kernel.js";
import { type MatmulPlan, type StoreFour, storeFours, storeHook, storesVectors } from "./matmul-plan.js";

export interface Blocks {
  /** Bindings that are read and written four numbers at a time. */
  readonly vec4: readonly number[];
  /** Whether neighbours along K lie side by side in A, and in B. */
  readonly aAlongK: boolean;
  readonly bAlongK: boolean;
  /** The reads, and `store_row(base, m, n, batch, value)`: n … n + 3 of a row. */
  readonly hooks: string;
}

interface Way {
  readonly alongK: boolean;
  four: boolean;
  readonly bindings: readonly number[];
  /** Whether there may be something past the end of K, and of the operand's own rows or columns. */
  readonly past: { readonly k: boolean; readonly own: boolean };
}

/** Sides of a tile, and a step of K. */
export interface Sides {
  readonly m: number;
  readonly n: number;
  readonly k: number;
}

/**
 * `tiles`: `block_a(base, m, k)` and `block_b(base, n, k)` give a block as a matrix with a column for each k. `rows`: `row_a(base, m, k)`
 * gives k … k + 3 of one row, instead of `block_a`, and no block of B is past the end of K. `ends`: the sides of tiles that
 * may end with the product; by default all is checked.
 */
export function blocksOf(plan: MatmulPlan, use: "tiles" | "rows", ends?: Sides): Blocks {
  const rows = use === "rows";
  const { shape: s, finish } = plan;
  const pastEnd = (own: keyof Sides): boolean => ends === undefined || !isMultiple(s[own].range, ends[own]);
  const wayOf = (x: Affine, own: "m" | "n", binding: number, onlyAlongK: boolean): Way => {
    const ownFour = !onlyAlongK && inFours(x, s[own]);
    const kFour = inFours(x, s.k);
    const alongK = kFour || (!ownFour && coefficient(x, s.k.name) === 1);
    // Along K the checks cost nothing, and one text serves more products.
    const past = alongK ? { k: true, own: true } : { k: pastEnd("k"), own: pastEnd(own) };
    return { alongK, four: kFour || ownFour, bindings: [binding], past };
  };
  const settled = (store: StoreFour | undefined) => {
    const a = wayOf(s.a, "m", s.aBinding, rows);
    const b = wayOf(s.b, "n", s.bBinding, false);
    const c = { four: store !== undefined, bindings: [...finish.bindings, ...(store?.vec4 ?? [])] };
    // A binding has one type: what is also read singly is read singly everywhere.
    const single = new Set([...(store?.single ?? finish.reads), ...s.fold.sums.map((sum) => sum.binding)]);
    const accesses = [a, b, c];
    for (let before = -1; before !== single.size; ) {
      before = single.size;
      for (const x of accesses) {
        x.four &&= !x.bindings.some((i) => single.has(i));
        if (!x.four) for (const i of x.bindings) single.add(i);
      }
    }
    return { a, b, c, store, vec4: accesses.flatMap((x) => (x.four ? x.bindings : [])) };
  };
  const ways = [...(storesVectors(plan) ? storeFours(plan) : []), undefined];
  const { a, b, c, store, vec4 } = ways.map(settled).find((way) => way.c.four || way.store === undefined)!;
  return {
    vec4,
    aAlongK: a.alongK,
    bAlongK: b.alongK,
    hooks: [
      rows ? rowHooks(a) : blockHooks("a", "m", a, a.past.k),
      blockHooks("b", "n", b, !rows && b.past.k),
      store?.hook ?? storeHook(plan),
      storeRowHook(c.four),
    ].join("\n"),
  };
}

const fours = (text: (j: number) => string): string => [0, 1, 2, 3].map(text).join(", ");

/** A block whose operand lies in fours along K: its rows, read one after the other. */
function rowsOfBlock(x: "a" | "b", own: "m" | "n", { bindings: [binding] }: Way): string {
  const [X, OWN] = [x.toUpperCase(), own.toUpperCase()];
  return fours((i) => `b${binding}[(base + min(${own} + ${i}u, ${OWN} - 1u) * ${X}_${OWN} + k) / 4u]`);
}

/** `column_x(base, own, k)`: own … own + 3 at one k, of an operand that does not lie in fours along K. */
function columnHooks(x: "a" | "b", own: "m" | "n", way: Way): string {
  const [X, OWN] = [x.toUpperCase(), own.toUpperCase()];
  const head = `column_${x}(base: u32, ${own}: u32, k: u32) -> vec4f`;
  if (way.four) {
    const at = `base + ${way.past.own ? `min(${own}, ${OWN} - 4u)` : own} + ${lastK(way)} * ${X}_K`;
    return fnText(head, [returned("vec4f()", `b${way.bindings[0]}[(${at}) / 4u]`, way)]);
  }
  const numbers = fours((j) => `load_${x}(base, ${own} + ${j}u, k)`);
  return [singleHook(x, own, way), fnText(head, [`return vec4f(${numbers});`])].join("\n");
}

const lastK = ({ past }: Way): string => (past.k ? "min(k, K - 1u)" : "k");

const returned = (zero: string, value: string, { past }: Way): string =>
  past.k ? `return select(${zero}, ${value}, k < K);` : `return ${value};`;

const singleHook = (x: "a" | "b", own: "m" | "n", way: Way): string => {
  const [X, OWN] = [x.toUpperCase(), own.toUpperCase()];
  const at = `base + ${way.past.own ? `min(${own}, ${OWN} - 1u)` : own} * ${X}_${OWN} + ${lastK(way)} * ${X}_K`;
  return fnText(`load_${x}(base: u32, ${own}: u32, k: u32) -> f32`, [returned("0.0", `b${way.bindings[0]}[${at}]`, way)]);
};

/** `block_x(base, own, k)`: a block as a matrix with a column for each k. `guarded`: there may be blocks past the end of K. */
function blockHooks(x: "a" | "b", own: "m" | "n", way: Way, guarded: boolean): string {
  const head = `block_${x}(base: u32, ${own}: u32, k: u32) -> mat4x4f`;
  if (way.four && way.alongK) {
    const block = `return transpose(mat4x4f(${rowsOfBlock(x, own, way)}));`;
    if (!guarded) return fnText(head, [block]);
    // A block never crosses the end of K.
    return fnText(head, ["if (k >= K) {", "  return mat4x4f();", "}", block]);
  }
  if (!guarded)
    return `${columnHooks(x, own, way)}\n${fnText(head, [`return mat4x4f(${fours((j) => `column_${x}(base, ${own}, k + ${j}u)`)});`])}`;
  // A loop, which a driver may leave one: unrolled by us, sixteen reads of each operand take some drivers seconds to compile.
  const loop = [
    "var found = mat4x4f();",
    "for (var j = 0u; j < 4u; j++) {",
    `  found[j] = column_${x}(base, ${own}, k + j);`,
    "}",
    "return found;",
  ];
  return `${columnHooks(x, own, way)}\n${fnText(head, loop)}`;
}

/** Rows are walked along K, whose end a vec4 never crosses. */
function rowHooks(way: Way): string {
  const head = "row_a(base: u32, m: u32, k: u32) -> vec4f";
  if (way.four) return fnText(head, [`return b${way.bindings[0]}[(base + min(m, M - 1u) * A_M + k) / 4u];`]);
  const row = fnText(head, [`return vec4f(${fours((j) => `load_a(base, m, k + ${j}u)`)});`]);
  return `${singleHook("a", "m", way)}\n${row}`;
}

function storeRowHook(four: boolean): string {
  const head = "store_row(base: u32, m: u32, n: u32, batch: u32, value: vec4f)";
  if (four) return fnText(head, ["if (n < N) {", "  store(base + m * C_M + n, m, n, batch, value);", "}"]);
  return fnText(head, [
    "for (var j = 0u; j < min(4u, N - min(n, N)); j++) {",
    "  store(base + m * C_M + (n + j) * C_N, m, n + j, batch, value[j]);",
    "}",
  ]);
}
