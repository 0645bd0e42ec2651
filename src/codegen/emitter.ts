/**
 * Writes the body of a region as WGSL: "the value v at coordinates c". Elementwise ops become `let` lines, views move the coordinates,
 * indexed ops choose by them, parameters are loads. Asking twice for the same value at the same place gives the same variable.
 */
import { InternalError } from "../diagnostics/diagnostic.js";
import type { Fn, Node, Value } from "../ir/graph.js";
import { producers } from "../ir/graph.js";
import { opRow } from "../ir/ops/index.js";
import { threshold } from "../ir/ops/indexing.js";
import { literal } from "../ir/ops/literal.js";
import { type Strided, strided } from "../ir/strides.js";
import { type DType, sizeOf } from "../ir/types.js";
import { purposeOf } from "../program/random.js";
import { printSize, product, type Size, sameSize } from "../program/size.js";
import { type Affine, type Atom, atom, constant, divide, key, plus, printIndex, times, zero } from "./index-math.js";

/** The uniform's words, each size once. Word 4 is the first after the header. */
export class Words {
  readonly sizes: Size[] = [];
  private readonly at = new Map<string, string>();

  /** `baked`: sizes that no batch changes stand in the text, which is then of these sizes alone. */
  constructor(private readonly baked = false) {}

  /** WGSL that reads the size at run time. */
  readonly size = (s: Size): string => {
    if (sameSize(s, 0) || sameSize(s, 1)) return `${s as number}u`;
    return this.literal(s) ?? this.fresh(printSize(s), s);
  };

  /** A word under a name of its own, so that equal numbers with different meanings keep one text. */
  readonly named = (name: string, s: Size): string => this.literal(s) ?? this.fresh(name, s);

  private literal(s: Size): string | undefined {
    return this.baked && typeof s === "number" && s >= 0 ? `${s}u` : undefined;
  }

  private fresh(id: string, s: Size): string {
    const known = this.at.get(id);
    if (known) return known;
    const i = this.sizes.push(s) + 3;
    const text = `u[${i >> 2}].${"xyzw"[i & 3]}`;
    this.at.set(id, text);
    return text;
  }

  /** Words in all, header included, filled up to whole vec4. */
  get count(): number {
    return (this.sizes.length + 4 + 3) & ~3;
  }
}

export const wgslType = (dtype: DType): string => (dtype === "bool" ? "bool" : dtype);
/** How a dtype lies in a storage buffer: bool as u32. */
export const storedType = (dtype: DType): string => (dtype === "bool" ? "u32" : dtype);
export const toStored = (text: string, dtype: DType): string => (dtype === "bool" ? `u32(${text})` : text);

/** A load the body makes: which parameter, at which index. */
export interface Load {
  readonly param: number;
  readonly index: Affine;
}

export class Emitter {
  /** Lines of the innermost scope. */
  lines: string[] = [];
  readonly loads: Load[] = [];
  /** Atoms used otherwise than linearly in a load: their axes cannot be merged with a neighbour. */
  readonly pinned = new Set<string>();
  usesRandom = false;
  private readonly made: ReadonlyMap<Value, Node>;
  private readonly params: ReadonlyMap<Value, number>;
  /** What is known in each scope, the innermost last. */
  private readonly memos: Map<string, string>[] = [new Map()];
  private readonly ids = new Map<Value, number>();
  private next = 0;

  constructor(
    readonly body: Fn,
    readonly words: Words,
    /** WGSL name of the storage binding behind each parameter. */
    private readonly binding: (param: number) => string,
    private readonly prefix = "v",
  ) {
    this.made = producers(body);
    this.params = new Map(body.params.map((p, i) => [p.value, i]));
  }

  /** Expression for `v` at `coords`, one per axis of its type. */
  at(v: Value, coords: readonly Affine[]): string {
    const known = this.known(v, coords);
    if (known !== undefined) return known;
    const text = this.make(v, coords);
    this.define(v, coords, text);
    return text;
  }

  /** From here on, `v` at these coordinates is this WGSL. */
  define(v: Value, coords: readonly Affine[], text: string): void {
    this.memos.at(-1)!.set(this.placeKey(v, coords), text);
  }

  private known(v: Value, coords: readonly Affine[]): string | undefined {
    const place = this.placeKey(v, coords);
    return this.memos.findLast((memo) => memo.has(place))?.get(place);
  }

  private placeKey(v: Value, coords: readonly Affine[]): string {
    let id = this.ids.get(v);
    if (id === undefined) {
      id = this.ids.size;
      this.ids.set(v, id);
    }
    return `${id}@${coords.map(key).join(",")}`;
  }

  /** The lines that `inside` writes, for a block of their own: what they compute is unknown after it. */
  scope(inside: () => void): readonly string[] {
    const outer = this.lines;
    this.lines = [];
    this.memos.push(new Map());
    inside();
    const { lines } = this;
    this.lines = outer;
    this.memos.pop();
    return lines;
  }

  private let(text: string): string {
    if (/^[a-z_]\w*$/.test(text)) return text;
    const name = `${this.prefix}${this.next++}`;
    this.lines.push(`let ${name} = ${text};`);
    return name;
  }

  /** A u32 variable as an atom. What it is made from is used non-linearly, hence pinned. */
  private freshAtom(text: string, range: Size, from: Affine | undefined): Affine {
    for (const t of from?.terms ?? []) this.pinned.add(t.atom.name);
    const name = this.let(text);
    const made: Atom = { name, range };
    this.pinned.add(name);
    return atom(made);
  }

  /** The index as WGSL. */
  printIndex(a: Affine): string {
    return printIndex(a, this.words.size);
  }

  private pin(a: Affine): string {
    for (const t of a.terms) this.pinned.add(t.atom.name);
    return this.printIndex(a);
  }

  private make(v: Value, coords: readonly Affine[]): string {
    // A stored operand, or views of one that strides can say.
    const read = strided(v, (x) => this.viewOf(x));
    const param = read && this.params.get(read.root);
    if (param !== undefined) return this.load(v, param, read!, coords);
    const node = this.made.get(v);
    if (!node) throw new InternalError("a region's body reads a value it does not make");
    const x = node.inputs[0]!;
    switch (node.op) {
      case "rename":
        return this.at(x, coords);
      case "transpose":
      case "expand":
        return this.at(
          x,
          x.type.axes.map((name) => coords[v.type.axes.indexOf(name)]!),
        );
      case "slice":
        return this.at(x, shifted(coords, x.type.axes.indexOf(node.attrs.axis as string), constant(node.attrs.from as number)));
      case "drop":
        return this.at(x, coords.toSpliced(x.type.axes.indexOf(node.attrs.axis as string), 0, zero));
      case "reverse":
        return this.at(x, this.reverseCoords(node, coords));
      case "split":
        return this.at(x, this.splitCoords(node, coords));
      case "merge":
        return this.at(x, this.mergeCoords(node, coords));
      case "pad":
        return this.part(
          x,
          coords,
          x.type.axes.indexOf(node.attrs.axis as string),
          constant(node.attrs.before as number),
          literal(0, v.type.dtype),
        );
      case "concat":
        return this.concat(node, coords);
      case "iota":
        return this.let(`${v.type.dtype}(${this.pin(coords[v.type.axes.indexOf(node.attrs.axis as string)]!)})`);
      case "gather":
        return this.gather(node, coords);
      case "draw":
        return this.draw(node, coords);
      case "sum":
        return this.shortSum(node, coords);
    }
    const { fusion } = opRow(node.op);
    if (fusion.kind !== "elementwise") throw new InternalError(`${node.op} cannot stand inside a fused body`);
    const args = node.inputs.map((input) => this.at(input, coords));
    return node.op === "fill" ? fusion.wgsl(args, node.attrs, v.type) : this.let(fusion.wgsl(args, node.attrs, v.type));
  }

  private viewOf(v: Value): Node | undefined {
    const node = this.made.get(v);
    return node && opRow(node.op).fusion.kind === "view" ? node : undefined;
  }

  private load(v: Value, param: number, { strides, offset }: Strided, coords: readonly Affine[]): string {
    let index: Affine = constant(offset);
    coords.forEach((c, i) => {
      index = plus(index, times(c, strides[i]!));
    });
    this.loads.push({ param, index });
    const text = `${this.binding(param)}[${this.printIndex(index)}]`;
    return this.let(v.type.dtype === "bool" ? `${text} != 0u` : text);
  }

  private reverseCoords(node: Node, coords: readonly Affine[]): Affine[] {
    const x = node.inputs[0]!.type;
    const at = x.axes.indexOf(node.attrs.axis as string);
    const [size, c] = [x.shape[at]!, coords[at]!];
    if (sameSize(size, 1)) return [...coords];
    return coords.toSpliced(at, 1, this.freshAtom(`${this.words.size(size)} - 1u - (${this.printIndex(c)})`, size, c));
  }

  private splitCoords(node: Node, coords: readonly Affine[]): Affine[] {
    const x = node.inputs[0]!.type;
    const into = node.attrs.into as readonly string[];
    const sizes = node.attrs.sizes as readonly Size[];
    const at = x.axes.indexOf(node.attrs.axis as string);
    let joined: Affine = zero;
    into.forEach((_, i) => {
      joined = plus(times(joined, sizes[i]!), coords[at + i]!);
    });
    return coords.toSpliced(at, into.length, joined);
  }

  private mergeCoords(node: Node, coords: readonly Affine[]): Affine[] {
    const x = node.inputs[0]!.type;
    const names = node.attrs.axes as readonly string[];
    const at = x.axes.indexOf(names[0]!);
    const digits: Affine[] = [];
    let rest = coords[at]!;
    for (let i = names.length - 1; i >= 0; i--) {
      const size = sizeOf(x, names[i]!)!;
      // The last quotient is already below its size; an axis of size 1 has nothing to say.
      if (product(names.slice(0, i).map((n) => sizeOf(x, n)!)) === 1) {
        digits.unshift(rest);
        rest = zero;
        continue;
      }
      const exact = divide(rest, size);
      if (exact) {
        digits.unshift(exact.mod);
        rest = exact.div;
      } else {
        const whole = this.let(this.printIndex(rest));
        const by = this.words.size(size);
        digits.unshift(this.freshAtom(`${whole} % ${by}`, size, rest));
        rest = this.freshAtom(`${whole} / ${by}`, product(names.slice(0, i).map((n) => sizeOf(x, n)!)), rest);
      }
    }
    return coords.toSpliced(at, 1, ...digits);
  }

  /** `x` at coords moved back by `before` along axis `at` where that lies inside x, else `outside`. */
  private part(x: Value, coords: readonly Affine[], at: number, before: Affine, outside: string): string {
    const size = x.type.shape[at]!;
    const c = this.let(this.pin(coords[at]!));
    const from = this.printIndex(before);
    // Unsigned: below `before` the difference wraps around and is large.
    const local = this.let(sameSize(before.constant, 0) ? c : `${c} - ${from}`);
    const inside = this.let(`${local} < ${this.words.size(size)}`);
    const safe = this.freshAtom(`select(0u, ${local}, ${inside})`, size, undefined);
    const value = this.at(x, coords.toSpliced(at, 1, safe));
    return this.let(`select(${outside}, ${value}, ${inside})`);
  }

  private concat(node: Node, coords: readonly Affine[]): string {
    const out = node.outputs[0]!.type;
    const at = out.axes.indexOf(node.attrs.axis as string);
    let before: Affine = zero;
    let text = literal(0, out.dtype);
    for (const x of node.inputs) {
      text = this.part(x, coords, at, before, text);
      before = plus(before, constant(x.type.shape[at]!));
    }
    return text;
  }

  private gather(node: Node, coords: readonly Affine[]): string {
    const [table, index] = [node.inputs[0]!, node.inputs[1]!];
    const rank = index.type.axes.length;
    const size = sizeOf(table.type, node.attrs.axis as string)!;
    const row = this.at(index, coords.slice(0, rank));
    const safe = this.freshAtom(`u32(clamp(${row}, 0i, i32(${this.words.size(size)}) - 1i))`, size, undefined);
    return this.at(table, coords.slice(rank).toSpliced(table.type.axes.indexOf(node.attrs.axis as string), 0, safe));
  }

  /** A sum of few terms, taken where it is read: the second stage of one that another kernel began. */
  private shortSum(node: Node, coords: readonly Affine[]): string {
    const x = node.inputs[0]!;
    const over = node.attrs.over as readonly string[];
    const total = `${this.prefix}t${this.next++}`;
    const loops = over.map((name) => ({ name: `${this.prefix}j${this.next++}`, range: sizeOf(x.type, name)! }));
    let at = 0;
    const inner = x.type.axes.map((name) => (over.includes(name) ? atom(loops[over.indexOf(name)]!) : coords[at++]!));
    let lines: readonly string[] = this.scope(() => {
      const value = this.at(x, inner);
      this.lines.push(`${total} += ${value};`);
    });
    for (const loop of loops.toReversed()) {
      if (sameSize(loop.range, 1)) continue;
      lines = [
        `for (var ${loop.name} = 0u; ${loop.name} < ${this.words.size(loop.range)}; ${loop.name}++) {`,
        ...lines.map((l) => `  ${l}`),
        "}",
      ];
    }
    this.lines.push(`var ${total} = ${literal(0, x.type.dtype)};`, ...lines);
    return total;
  }

  private draw(node: Node, coords: readonly Affine[]): string {
    this.usesRandom = true;
    const [seed, step, first] = node.inputs.slice(0, 3).map((v) => this.at(v, []));
    const { shape } = node.outputs[0]!.type;
    let element: Affine = zero;
    for (let i = 1; i < coords.length; i++) element = plus(times(element, shape[i]!), coords[i]!);
    const purpose = purposeOf(node.attrs.name as string);
    const sample = `u32(${first} + i32(${this.pin(coords[0]!)}))`;
    const bits = this.let(
      `threefry(vec4u(${seed}, 0u, ${purpose}u, u32(${step})), vec4u(${this.pin(element)}, ${sample}, 0u, 0u)).x`,
    );
    if (node.attrs.kind === "int") return this.let(`i32(draw_int(${bits}, ${node.attrs.below as number}u))`);
    if (node.attrs.kind === "bernoulli") return this.let(`select(0i, 1i, ${bits} < ${threshold(node.attrs.p as number)}u)`);
    return this.let(`draw_normal(${bits})`);
  }

  /** The parameter that holds the inverse-CDF table, when the body draws normals. */
  get normalTable(): number | undefined {
    const node = this.body.nodes.find((n) => n.op === "draw" && n.attrs.kind === "normal");
    return node ? this.params.get(node.inputs[3]!) : undefined;
  }
}

const shifted = (coords: readonly Affine[], at: number, by: Affine): Affine[] =>
  coords.map((c, i) => (i === at ? plus(c, by) : c));
