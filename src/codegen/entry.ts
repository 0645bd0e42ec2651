/**
 * One function of an entry as dispatches and storages: each region gets a kernel and a dispatch, each value a storage. Results that carry
 * a parameter's name are its next value and are written where it lies, when every other read comes first; else they are copied at the end.
 * Gradients of trained weights are made beside their weights, and updates of single weights run together, a pack at a time (packs.ts).
 */
import { InternalError } from "../diagnostics/diagnostic.js";
import { dtypeBytes } from "../ir/cost.js";
import type { Fn, Module, Node, Param, Value } from "../ir/graph.js";
import { accumulateOperands } from "../ir/ops/accumulate.js";
import { weightKey } from "../ir/parameter-runs.js";
import { REGION } from "../ir/region.js";
import type { Window } from "../ir/strides.js";
import type { TensorType } from "../ir/types.js";
import type { Dispatch, Port, StorageKind } from "../program/program.js";
import { mul, product, type Size, sameSize } from "../program/size.js";
import type { Computation } from "./computation.js";
import { accumulateBody, type Gradient, gradientsOfNorm, gradientsOfSums, operandsOf } from "./gradients.js";
import type { SquaresBeside } from "./kernel.js";
import { labelOf } from "./labels.js";
import { type PlaceHost, Places } from "./places.js";
import type { Binding, Region } from "./region.js";
import { dispatchesOf, type RegionKernel } from "./region-kernel.js";
import { type Rider, type RidingSquares, ridingSquares, withSquares } from "./riding-squares.js";
import { squaresKernels } from "./squares-kernels.js";
import { inFull } from "./stored.js";
import { type StorageWork, together, workOf } from "./work.js";

const alwaysWritable: readonly StorageKind[] = ["activation", "output", "state", "gradient"];

/** The update of one weight: a dispatch for it alone, and the kernel that is right when it runs for a whole pack. */
interface Held {
  readonly computes: Computation;
  readonly kernel: RegionKernel;
  readonly ofPack: RegionKernel;
  readonly bindings: readonly number[];
  readonly label: string;
  readonly work: StorageWork;
}

/** What the functions of a program share. */
export interface Host extends PlaceHost {
  storage(kind: StorageKind, name: string, type: TensorType): number;
  persistent(p: Param): { id: number; kind: StorageKind };
  /** A part of a storage, from a byte on. */
  partOf(whole: number, offset: Size, name: string, type: TensorType): number;
  /** The number of the pack that a weight is in. */
  packNumber(key: string): number;
  /** The pack that a weight, or what belongs to one, is a part of, and the parts of a pack. */
  packOf(storage: number): number | undefined;
  membersOf(pack: number): readonly number[];
  readonly maxStorageBuffers: number;
  /** Whether halves are read as pairs, see `Binding`. */
  readonly packed: boolean;
  readonly maxBinding: number;
  kindOf(storage: number): StorageKind;
  touch(storage: number, at: number): void;
  output(storage: number): void;
  kernel(region: Region, stored: Fn, label: string): RegionKernel;
  squaresBeside(region: Region): SquaresBeside | undefined;
}

interface DispatchOptions {
  readonly windows?: readonly (Window | undefined)[];
  /** A result whose squares are added up beside it. */
  readonly rider?: Rider | undefined;
  /** What it can be held against, where that is not its own body. */
  readonly computes?: Computation;
}

/** One function of an entry. */
export class EntryFn {
  private readonly at = new Map<Value, number>();
  private readonly dispatches: Dispatch[] = [];
  /** Of each dispatch; updates of a whole pack are one for each weight, and of a part of a product there is none. */
  private readonly computations: (readonly Computation[])[] = [];
  private readonly bodies: ReadonlyMap<string, Fn>;
  private readonly places: Places;
  /** The storage of each value that is made in the memory of another: of a state's old value, beside a weight. */
  private readonly placed = new Map<Value, number>();
  /** Updates of single weights, held back until a whole pack of them is there. */
  private readonly held = new Map<number, Held[]>();
  private riding: RidingSquares | undefined;

  constructor(
    module: Module,
    private readonly fn: Fn,
    private readonly entryName: string,
    private readonly inputs: Map<string, Port>,
    private readonly base: number,
    private readonly host: Host,
  ) {
    this.bodies = new Map(module.fns.map((f) => [f.name, f]));
    this.places = new Places(fn, this.bodies);
  }

  run(): {
    dispatches: readonly Dispatch[];
    computations: readonly (readonly Computation[])[];
    outputs: readonly Port[];
  } {
    for (const p of this.fn.params) this.param(p);
    for (const [v, id] of this.places.gradients(this.gradients(), this.host)) this.placed.set(v, id);
    this.riding = ridingSquares(this.fn, this.bodies, this.places.gradientsIn, this.host);
    for (const [v, p] of this.places.inPlace()) this.placed.set(v, this.storageOf(p.value));
    for (const node of this.fn.nodes) {
      if (node.op === REGION) this.region(node);
      else this.at.set(node.outputs[0]!, this.alias(node));
    }
    this.release();
    const outputs = this.results();
    this.release();
    return { outputs, dispatches: this.dispatches, computations: this.computations };
  }

  private storageOf(v: Value): number {
    const id = this.at.get(v);
    if (id === undefined) throw new InternalError(`@${this.fn.name} reads a value that has no storage`);
    return id;
  }

  private param(p: Param): void {
    const { type } = p.value;
    const known = this.inputs.get(p.name);
    const id =
      p.kind === "input"
        ? (known?.storage ?? this.host.storage("input", `${this.entryName}.${p.name}`, type))
        : this.host.persistent(p).id;
    this.at.set(p.value, id);
    if (!known) this.inputs.set(p.name, port(p.name, type, id, p.kind));
  }

  /** Where a value lies that no kernel makes. */
  private alias(node: Node): number {
    const v = node.outputs[0]!;
    const x = node.inputs[0]!;
    const placed = this.placed.get(v);
    if (placed !== undefined) return placed;
    if (node.op === "slice") {
      const row = product(x.type.shape.slice(1));
      const offset = mul(dtypeBytes(x.type.dtype) * (node.attrs.from as number), row);
      return this.host.partOf(this.storageOf(x), offset, `${this.entryName}.${v.name ?? "value"}`, v.type);
    }
    const weights = this.places.weights(node);
    if (!weights) return this.at.get(v) ?? this.storageOf(x);
    const keys = weights.map((p) => weightKey(p)!);
    const run = this.host.runOf("parameter", keys, v.type);
    if (run === undefined) throw new InternalError(`${keys.join(", ")} do not lie side by side`);
    return run;
  }

  private region(node: Node): void {
    const body = this.bodies.get(node.attrs.body as string);
    if (!body) throw new InternalError(`region body @${String(node.attrs.body)} is missing`);
    const squared = operandsOf(node, body, "sum_of_squares");
    if (squared) {
      this.sumOfSquares(node, body, squared);
      return;
    }
    for (const v of node.outputs) this.at.set(v, this.place(v));
    const added = operandsOf(node, body, "accumulate");
    if (added) {
      this.accumulate(node, added);
      return;
    }
    const rider = node.outputs.map((v) => this.riding?.riders.get(v)).find((found) => found);
    this.dispatch(
      node.attrs.kind as Region["kind"],
      body,
      node.inputs.map((v) => this.storageOf(v)),
      node.outputs.map((v) => this.storageOf(v)),
      labelOf(node, body),
      { windows: node.outputs.map((v) => this.places.windows.get(v)?.window), rider },
    );
  }

  /** The storage of a new value: the place found for it, the whole that it has a window in, or one of its own. */
  private place(v: Value): number {
    const whole = this.places.windows.get(v)?.whole;
    const known = this.placed.get(v) ?? (whole && (this.placed.get(whole) ?? this.at.get(whole)));
    if (known !== undefined) return known;
    const { type, name } = whole ?? v;
    const id = this.host.storage("activation", `${this.entryName}.${name ?? "value"}`, type);
    if (whole) this.at.set(whole, id);
    return id;
  }

  private dispatch(
    kind: Region["kind"],
    stored: Fn,
    inputs: readonly number[],
    outputs: readonly number[],
    label: string,
    { windows = [], rider, computes }: DispatchOptions = {},
  ): void {
    const written = new Set(outputs);
    const writtenKinds = new Set(outputs.map((id) => this.host.kindOf(id)));
    const bound: number[] = [];
    const bindings: Binding[] = [];
    const bind = (id: number, type: TensorType): number => {
      const known = bound.indexOf(id);
      if (known >= 0) return known;
      const storage = this.host.kindOf(id);
      // A buffer is read or read_write as a whole in one dispatch; activations always lie in writable slabs.
      const writable = written.has(id) || alwaysWritable.includes(storage) || writtenKinds.has(storage);
      bound.push(id);
      const packed = this.host.packed && type.dtype === "f16";
      bindings.push({ dtype: type.dtype, access: writable ? "read_write" : "read", ...(packed ? { packed } : {}) });
      return bound.length - 1;
    };
    const params = inputs.map((id, i) => bind(id, stored.params[i]!.value.type));
    const results = outputs.map((id, i) => bind(id, stored.results[i]!.value.type));
    let body = inFull(stored);
    if (rider) {
      body = withSquares(body, rider);
      results.push(bind(rider.storage, body.results.at(-1)!.value.type));
    }
    const region: Region = { kind, body, params, results, windows, bindings, batch: 1 };
    const kernel = this.host.kernel(region, stored, label);
    const pack = kind === "map" ? this.packUpdated(outputs) : undefined;
    const itself = { body: stored, params: inputs, results: outputs.map((storage, i) => ({ storage, window: windows[i] })) };
    const work = workOf(kernel.work, inputs, outputs);
    const own = { kernel, bindings: bound, label, work, computes: computes ?? itself };
    if (pack === undefined) this.pushKernel(own);
    else this.hold(pack, { ...own, ofPack: this.host.kernel({ ...region, wholePacks: true }, stored, label) });
  }

  private pushKernel(held: Omit<Held, "ofPack">, computations: readonly Computation[] = [held.computes]): void {
    const { kernel, bindings, label, work } = held;
    const memory = (length: Size): number =>
      this.host.storage("activation", `${this.entryName}.parts`, { dtype: "f32", axes: ["part"], shape: [length] });
    const dispatches = dispatchesOf(kernel, bindings, label, work, memory);
    for (const [i, dispatch] of dispatches.entries()) {
      this.push(dispatch);
      // The last of them has made it.
      this.computations.push(i === dispatches.length - 1 ? computations : []);
    }
  }

  private push(dispatch: Dispatch): void {
    const position = this.base + this.dispatches.length;
    for (const id of dispatch.bindings) this.host.touch(id, position);
    this.dispatches.push(dispatch);
  }

  /** The pack of weights, or of sums of gradients, when these outputs are next values of one weight and what belongs to it. */
  private packUpdated(outputs: readonly number[]): number | undefined {
    const wholes = outputs.map((id) => this.host.packOf(id));
    const weight = outputs.findIndex((id) => ["parameter", "accumulator"].includes(this.host.kindOf(id)));
    return weight >= 0 && wholes.every((w) => w !== undefined) ? wholes[weight] : undefined;
  }

  /** Holds an update back; the last of a pack runs for all, when all are the same kernel and each binding is a part at the same place. */
  private hold(pack: number, update: Held): void {
    const held = [...(this.held.get(pack) ?? []), update];
    this.held.set(pack, held);
    const parts = this.host.membersOf(pack);
    if (held.length < parts.length) return;
    this.held.delete(pack);
    const { ofPack, label } = update;
    const bindings = update.bindings.map((id) => this.host.packOf(id) ?? id);
    /** The word that holds how many elements there are; the others must agree. */
    const isElements = (word: number): boolean => held.every((h) => sameSize(h.ofPack.uniforms[word]!, h.ofPack.extent[0]!));
    const alike = held.every(
      (h) =>
        h.ofPack.key === ofPack.key &&
        h.ofPack.uniforms.every((size, i) => sameSize(size, ofPack.uniforms[i]!) || isElements(i)) &&
        h.bindings.every((id, i) => (this.host.packOf(id) ?? id) === bindings[i]),
    );
    if (!alike) for (const h of held) this.pushKernel(h);
    else {
      const elements = (this.host.bytesOf(pack) as number) / 4;
      const uniforms = ofPack.uniforms.map((size, i) => (isElements(i) ? elements : size));
      const kernel = { ...ofPack, uniforms, extent: [elements] };
      const works = held.map((h) => h.work);
      const work = together(works, (id) => this.host.packOf(id) !== undefined);
      const all = held.map((h) => h.computes);
      this.pushKernel({ ...update, kernel, bindings, label: `${label} and ${held.length - 1} more`, work }, all);
    }
  }

  /** Updates whose pack did not come together run one by one. */
  private release(): void {
    for (const updates of this.held.values()) for (const h of updates) this.pushKernel(h);
    this.held.clear();
  }

  /** The gradients that this function does something to all at once. */
  private gradients(): Gradient[] {
    for (const node of this.fn.nodes.filter((n) => n.op === REGION)) {
      const body = this.bodies.get(node.attrs.body as string)!;
      const squared = operandsOf(node, body, "sum_of_squares");
      if (squared) return gradientsOfNorm(this.fn.params, squared);
      const added = operandsOf(node, body, "accumulate");
      const { totals, terms } = accumulateOperands(added ?? []);
      if (added) return gradientsOfSums(this.fn.params, totals, terms);
    }
    return [];
  }

  /** What could not be made beside its weight is copied there; sums of gradients lie there already. */
  private gather(gradients: readonly Gradient[]): void {
    for (const { key, value } of gradients) {
      const from = this.storageOf(value);
      const part = this.host.kindOf(from) === "accumulator" ? from : this.host.gradientPart(key, value.type);
      if (part === undefined || part === from) continue;
      this.copy(value.type, from, part, `gradient of ${key}`);
      this.at.set(value, part);
    }
  }

  /** Adds to each total its term; totals of whole packs at a time. */
  private accumulate(node: Node, operands: readonly Value[]): void {
    const { count, totals, terms } = accumulateOperands(operands);
    this.gather(gradientsOfSums(this.fn.params, totals, terms));
    totals.forEach((total, i) => {
      const inputs = [count, total, terms[i]!].map((v) => this.storageOf(v));
      const body = accumulateBody(count.type, total.type);
      this.dispatch("map", body, inputs, [this.storageOf(node.outputs[i]!)], "accumulate");
    });
    // Before anything overwrites the count.
    this.release();
  }

  /** The norm of all gradients: sums of squares of whole packs where the operands fill them, else of the operands. */
  private sumOfSquares(node: Node, body: Fn, operands: readonly Value[]): void {
    const gradients = gradientsOfNorm(this.fn.params, operands);
    this.gather(gradients);
    const own = body.nodes.find((n) => n.op === "sum_of_squares")!;
    const to = this.host.storage("activation", `${this.entryName}.squares`, own.outputs[0]!.type);
    this.at.set(node.outputs[0]!, to);
    const { riding } = this;
    const storages = (ridden: boolean): number[] =>
      operands.filter((_, i) => (riding?.keys.has(gradients[i]!.key) ?? false) === ridden).map((v) => this.storageOf(v));
    const kernels = squaresKernels(own, { read: storages(false), ridden: storages(true), to, riding }, this.host);
    const label = `sum_of_squares of ${operands.length} gradients`;
    for (const { body, inputs, computes } of kernels) this.dispatch("op", body, inputs, [to], label, { computes });
  }

  private results(): Port[] {
    const used = new Set<number>();
    const paramIds = new Set(this.fn.params.map((p) => this.storageOf(p.value)));
    const ports = new Map<string, Port>();
    const states: { readonly name: string; readonly type: TensorType; from: number; readonly own: number }[] = [];
    for (const { name, value } of this.fn.results) {
      const { type } = value;
      const p = this.fn.params.find((q) => q.name === name);
      let id = this.storageOf(value);
      if (p) {
        const own = this.storageOf(p.value);
        if (own !== id) states.push({ name, type, from: id, own });
        ports.set(name, port(name, type, own, "state"));
        continue;
      }
      // An output of its own: not the memory of a parameter, nor of weights side by side, nor of another output.
      if (paramIds.has(id) || used.has(id) || this.host.kindOf(id) === "parameter") {
        const copy = this.host.storage("output", `${this.entryName}.${name}`, type);
        this.copy(type, id, copy, name);
        id = copy;
      }
      used.add(id);
      this.host.output(id);
      ports.set(name, port(name, type, id, "output"));
    }
    // State last, after everything that reads its old value; what comes from other state first steps aside, so that two may swap.
    for (const s of states.filter(({ from }) => paramIds.has(from))) {
      const aside = this.host.storage("activation", `${this.entryName}.${s.name}`, s.type);
      this.copy(s.type, s.from, aside, s.name);
      s.from = aside;
    }
    for (const s of states) this.copy(s.type, s.from, s.own, s.name);
    return this.fn.results.map(({ name }) => ports.get(name)!);
  }

  private copy(type: TensorType, from: number, to: number, name: string): void {
    const value: Value = { type, name: "x" };
    const body: Fn = { name: "copy", params: [{ name: "x", kind: "input", value }], nodes: [], results: [{ name: "y", value }] };
    this.dispatch("map", body, [from], [to], `copy ${name}`);
  }
}

const port = (name: string, type: TensorType, storage: number, kind: Port["kind"]): Port => ({
  name,
  dtype: type.dtype === "f16" ? "f32" : type.dtype,
  axes: type.axes,
  shape: type.shape,
  storage,
  kind,
});
