/**
 * From a kernel-stage module to the Program's entries: each region gets a kernel and a dispatch, each value a storage. Results that carry
 * a parameter's name are its next value and are written where it lies, when every other read comes first; else they are copied at the end.
 */
import { InternalError } from "../diagnostics/diagnostic.js";
import type { Fn, Loc, Module, Node, Param, Value } from "../ir/graph.js";
import { opRow } from "../ir/ops/index.js";
import { numel, type TensorType } from "../ir/types.js";
import type { Dispatch, Entry, Kernel, Port, Storage, StorageKind } from "../program/program.js";
import { mul, type Size } from "../program/size.js";
import type { FamilyOptions } from "./kernel.js";
import { families } from "./kernels/index.js";
import type { Binding, Region } from "./region.js";

/** An entry of the Program as a list of functions of the module; state goes from one to the next by name. */
export interface ScheduleSpec {
  readonly name: string;
  readonly segments: readonly { readonly fn: string; readonly repeat: number }[];
}

export interface LowerOptions extends FamilyOptions {
  /** Batch that kernel choices are made for. */
  readonly batch: number;
}

export interface LoweredProgram {
  readonly storages: readonly Storage[];
  readonly kernels: readonly Kernel[];
  readonly entries: readonly Entry[];
  readonly wgsl: Readonly<Record<string, string>>;
  /** Storage of each parameter and constant by name. */
  readonly persistent: ReadonlyMap<string, number>;
}

export function lower(module: Module, schedules: readonly ScheduleSpec[], options: LowerOptions): LoweredProgram {
  return new Lowering(module, options).run(schedules);
}

/** bytes in a storage buffer: 4 an element, also for bool; f16 would be 2. */
const bytesOf = (type: TensorType): Size => mul(numel(type), type.dtype === "f16" ? 2 : 4);

/** State is called by its set: `p.<key>`, `m.<key>`, `v.<key>`, `ema.<key>`; other state has a name of its own. */
const sets: readonly [prefix: string, kind: StorageKind][] = [
  ["p.", "parameter"],
  ["m.", "moment1"],
  ["v.", "moment2"],
  ["ema.", "ema"],
];

const alwaysWritable: readonly StorageKind[] = ["activation", "output", "state"];

class Lowering {
  private readonly storages: { -readonly [K in keyof Storage]: Storage[K] }[] = [];
  private readonly kernels: Kernel[] = [];
  private readonly kernelIds = new Map<string, number>();
  private readonly wgsl: Record<string, string> = {};
  private readonly persistent = new Map<string, number>();

  constructor(
    private readonly module: Module,
    private readonly options: LowerOptions,
  ) {}

  run(schedules: readonly ScheduleSpec[]): LoweredProgram {
    const entries = schedules.map((s) => this.entry(s));
    return { storages: this.storages, kernels: this.kernels, entries, wgsl: this.wgsl, persistent: this.persistent };
  }

  private storage(kind: StorageKind, name: string, type: TensorType, entry?: string): number {
    return this.storages.push({ kind, name, bytes: bytesOf(type), ...(entry === undefined ? {} : { entry }) }) - 1;
  }

  private persistentStorage(p: Param): { id: number; kind: StorageKind } {
    const set = p.kind === "state" ? sets.find(([prefix]) => p.name.startsWith(prefix)) : undefined;
    const kind: StorageKind = p.kind === "parameter" ? "parameter" : p.kind === "constant" ? "constant" : (set?.[1] ?? "state");
    const name = set ? p.name.slice(set[0].length) : p.name;
    const key = `${kind}:${name}`;
    const known = this.persistent.get(key);
    if (known !== undefined) return { id: known, kind };
    const id = this.storage(kind, name, p.value.type);
    this.persistent.set(key, id);
    return { id, kind };
  }

  private entry(schedule: ScheduleSpec): Entry {
    const inputs = new Map<string, Port>();
    const outputs = new Map<string, Port>();
    let position = 0;
    const segments = schedule.segments.map(({ fn: name, repeat }) => {
      const fn = this.module.fns.find((f) => f.name === name);
      if (!fn) throw new InternalError(`schedule ${schedule.name} names @${name}, which the module lacks`);
      const lowered = new EntryFn(this.module, fn, schedule.name, inputs, position, {
        storage: (kind, label, type) => this.storage(kind, label, type, schedule.name),
        persistent: (p) => this.persistentStorage(p),
        kindOf: (id) => this.storages[id]!.kind,
        touch: (id, at) => {
          const s = this.storages[id]!;
          if (s.kind === "activation") s.live = [Math.min(s.live?.[0] ?? at, at), Math.max(s.live?.[1] ?? at, at)];
        },
        output: (id) => {
          const s = this.storages[id]!;
          if (s.kind === "activation") {
            s.kind = "output";
            delete s.live;
          }
        },
        kernel: (region, loc) => this.kernel(region, loc),
      }).run();
      for (const port of lowered.outputs) outputs.set(port.name, port);
      position += lowered.dispatches.length;
      return { repeat, dispatches: lowered.dispatches };
    });
    return { name: schedule.name, inputs: [...inputs.values()], outputs: [...outputs.values()], segments };
  }

  /** The kernel for a region, shared by all dispatches whose texts are the same. */
  private kernel(region: Region, label: string): { id: number; uniforms: readonly Size[]; extent: readonly Size[] } {
    for (const family of families) {
      const made = family.lower({ ...region, batch: this.options.batch }, this.options);
      if (!made) continue;
      const key = [...effectsOf(region), ...made.variants.map((v) => v.text)].join("\0");
      let id = this.kernelIds.get(key);
      if (id === undefined) {
        id = this.kernels.length;
        const name = `${String(id).padStart(3, "0")}-${made.family}`;
        this.kernels.push({
          name,
          family: made.family,
          access: region.bindings.map((b) => b.access),
          effects: effectsOf(region),
          words: made.words.count,
          variants: made.variants.map(({ text, ...v }) => {
            const file = `kernels/${name}.${v.name}.wgsl`;
            this.wgsl[file] = text;
            return { ...v, file };
          }),
        });
        this.kernelIds.set(key, id);
      }
      return { id, uniforms: made.words.sizes, extent: made.extent };
    }
    throw new InternalError(`no kernel family takes ${label}`);
  }
}

/** What the kernel does to each binding: activations are bound read_write even when they are only read. */
function effectsOf(region: Region): ("read" | "write" | "update")[] {
  return region.bindings.map((_, i) => (!region.results.includes(i) ? "read" : region.params.includes(i) ? "update" : "write"));
}

interface Host {
  storage(kind: StorageKind, name: string, type: TensorType): number;
  persistent(p: Param): { id: number; kind: StorageKind };
  kindOf(storage: number): StorageKind;
  touch(storage: number, at: number): void;
  output(storage: number): void;
  kernel(region: Region, label: string): { id: number; uniforms: readonly Size[]; extent: readonly Size[] };
}

/** One function of an entry. */
class EntryFn {
  private readonly at = new Map<Value, number>();
  private readonly dispatches: Dispatch[] = [];
  private readonly bodies: ReadonlyMap<string, Fn>;

  constructor(
    module: Module,
    private readonly fn: Fn,
    private readonly entryName: string,
    private readonly inputs: Map<string, Port>,
    private readonly base: number,
    private readonly host: Host,
  ) {
    this.bodies = new Map(module.fns.map((f) => [f.name, f]));
  }

  run(): { dispatches: readonly Dispatch[]; outputs: readonly Port[] } {
    for (const p of this.fn.params) this.param(p);
    const inPlace = this.inPlaceResults();
    for (const node of this.fn.nodes) {
      if (node.op === "region") this.region(node, inPlace);
      else this.at.set(node.outputs[0]!, this.storageOf(node.inputs[0]!));
    }
    return { outputs: this.results(), dispatches: this.dispatches };
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

  /** Results written over the parameter of their name: the value's storage is the parameter's. */
  private inPlaceResults(): Map<Value, number> {
    const writer = new Map<Value, number>();
    const lastRead = new Map<Value, number>();
    this.fn.nodes.forEach((node, i) => {
      for (const v of node.outputs) writer.set(v, i);
      for (const v of node.inputs) lastRead.set(v, i);
      // An alias is read as long as what it renames.
      if (node.op !== "region") lastRead.set(node.inputs[0]!, this.fn.nodes.length);
    });
    // A result that hands out an old value reads it after everything else.
    for (const { value } of this.fn.results) if (!writer.has(value)) lastRead.set(value, this.fn.nodes.length);
    const taken = new Map<Value, number>();
    for (const { name, value } of this.fn.results) {
      const p = this.fn.params.find((q) => q.name === name);
      const made = writer.get(value);
      if (!p || made === undefined || taken.has(value) || this.fn.nodes[made]!.op !== "region") continue;
      const read = lastRead.get(p.value) ?? -1;
      if (read < made || (read === made && this.readsInPlace(this.fn.nodes[made]!, p.value)))
        taken.set(value, this.storageOf(p.value));
    }
    return taken;
  }

  /** Whether a map reads `v` only at the element it writes: through no view or index. */
  private readsInPlace(node: Node, v: Value): boolean {
    if (node.attrs.kind !== "map") return false;
    const body = this.bodies.get(node.attrs.body as string)!;
    return node.inputs.every((input, i) => {
      if (input !== v) return true;
      const inner = body.params[i]!.value;
      return body.nodes.every(
        (n) =>
          !n.inputs.includes(inner) ||
          !["expand", "transpose", "slice", "split", "merge", "drop", "pad", "concat", "gather", "draw"].includes(n.op),
      );
    });
  }

  private region(node: Node, inPlace: ReadonlyMap<Value, number>): void {
    const body = this.bodies.get(node.attrs.body as string);
    if (!body) throw new InternalError(`region body @${String(node.attrs.body)} is missing`);
    for (const v of node.outputs)
      this.at.set(v, inPlace.get(v) ?? this.host.storage("activation", `${this.entryName}.${v.name ?? "value"}`, v.type));
    this.dispatch(
      node.attrs.kind as Region["kind"],
      body,
      node.inputs.map((v) => this.storageOf(v)),
      node.outputs.map((v) => this.storageOf(v)),
      labelOf(node, body),
    );
  }

  private dispatch(kind: Region["kind"], body: Fn, inputs: readonly number[], outputs: readonly number[], label: string): void {
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
      bindings.push({ dtype: type.dtype, access: writable ? "read_write" : "read" });
      return bound.length - 1;
    };
    const params = inputs.map((id, i) => bind(id, body.params[i]!.value.type));
    const results = outputs.map((id, i) => bind(id, body.results[i]!.value.type));
    const { id: kernel, uniforms, extent } = this.host.kernel({ kind, body, params, results, bindings, batch: 1 }, label);
    const position = this.base + this.dispatches.length;
    for (const id of bound) this.host.touch(id, position);
    this.dispatches.push({ kernel, bindings: bound, uniforms, extent, label });
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
      // An output of its own: not the memory of a parameter, nor of another output.
      if (paramIds.has(id) || used.has(id)) {
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

const place = (loc: Loc | undefined): string => (loc ? ` @ ${loc.file}:${loc.line}:${loc.column}` : "");

/** "dot scores @ dit.graph.ts:41:12". */
function labelOf(node: Node, body: Fn): string {
  const kind =
    node.attrs.kind === "map"
      ? (body.nodes.at(-1)?.op ?? "copy")
      : (body.nodes.find((n) => ["anchor", "kernel"].includes(opRow(n.op).fusion.kind))?.op ?? "region");
  const names = node.outputs.map((v) => v.name).filter((n) => n !== undefined);
  return `${kind}${names.length > 0 ? ` ${names.join(", ")}` : ""}${place(node.loc)}`;
}
