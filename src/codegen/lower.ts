/**
 * From a kernel-stage module to the Program: entries made of its functions (entry.ts), the storages and kernels that they share, each
 * kernel once however many dispatches run it.
 */
import { InternalError } from "../diagnostics/diagnostic.js";
import { typeBytes } from "../ir/cost.js";
import type { Fn, Module, Param } from "../ir/graph.js";
import type { ParameterRuns } from "../ir/parameter-runs.js";
import { fnKey } from "../ir/same.js";
import type { TensorType } from "../ir/types.js";
import type { Effect, Entry, Kernel, Port, Storage, StorageKind } from "../program/program.js";
import { add, type Size } from "../program/size.js";
import type { Computation } from "./computation.js";
import { EntryFn } from "./entry.js";
import type { FamilyOptions, SquaresBeside, Stage } from "./kernel.js";
import { families } from "./kernels/index.js";
import { type Pack, planPacks } from "./packs.js";
import type { Region } from "./region.js";
import type { RegionKernel, StageKernel } from "./region-kernel.js";
import { workOfBody } from "./work.js";

/** An entry of the Program as a list of functions of the module; state goes from one to the next by name. */
export interface ScheduleSpec {
  readonly name: string;
  readonly segments: readonly { readonly fn: string; readonly repeat: number }[];
}

export interface LowerOptions extends FamilyOptions {
  /** Largest binding in bytes, and most storage bindings of a kernel; the WebGPU minimum by default. */
  readonly maxBinding?: number;
  readonly maxStorageBuffers?: number;
  /** Whether kernels may use WGSL's f16 (default); else what lies in 16 bits, weights alone, is read out of words. */
  readonly halves?: boolean;
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
  /** What each dispatch computes, by entry, in the order of its flat list. */
  readonly computations: ReadonlyMap<string, readonly (readonly Computation[])[]>;
}

export function lower(module: Module, schedules: readonly ScheduleSpec[], options: LowerOptions): LoweredProgram {
  return new Lowering(module, options).run(schedules);
}

/** State is called by its set: `p.<key>`, `m.<key>`, `v.<key>`, `ema.<key>`, `g.<key>`; other state has a name of its own. */
const sets: readonly [prefix: string, kind: StorageKind][] = [
  ["p.", "parameter"],
  ["m.", "moment1"],
  ["v.", "moment2"],
  ["ema.", "ema"],
  ["g.", "accumulator"],
];

const packedKinds: readonly StorageKind[] = ["parameter", "moment1", "moment2", "ema", "accumulator", "gradient"];

class Lowering {
  private readonly storages: { -readonly [K in keyof Storage]: Storage[K] }[] = [];
  private readonly kernels: Kernel[] = [];
  private readonly lowered = new Map<string, RegionKernel>();
  private readonly kernelIds = new Map<string, number>();
  private readonly wgsl: Record<string, string> = {};
  private readonly persistent = new Map<string, number>();
  private readonly computations = new Map<string, readonly (readonly Computation[])[]>();
  private readonly packs: readonly Pack[];
  private readonly runs: ParameterRuns;
  /** The parts of each pack, and the pack of each part: single weights and what belongs to them. */
  private readonly members = new Map<number, number[]>();
  private readonly packOf = new Map<number, number>();

  constructor(
    private readonly module: Module,
    private readonly options: LowerOptions,
  ) {
    const planned = planPacks(module, options.maxBinding);
    this.packs = planned.packs;
    this.runs = planned.runs;
  }

  run(schedules: readonly ScheduleSpec[]): LoweredProgram {
    const entries = schedules.map((s) => this.entry(s));
    const { storages, kernels, wgsl, persistent, computations } = this;
    return { storages, kernels, entries, wgsl, persistent, computations };
  }

  private storage(kind: StorageKind, name: string, type: TensorType, entry?: string): number {
    return (
      this.storages.push({
        kind,
        name,
        bytes: typeBytes(type),
        ...(type.dtype === "f16" ? { dtype: "f16" } : {}),
        ...(entry === undefined ? {} : { entry }),
      }) - 1
    );
  }

  private persistentStorage(p: Param): { id: number; kind: StorageKind } {
    const set = p.kind === "state" ? sets.find(([prefix]) => p.name.startsWith(prefix)) : undefined;
    const kind: StorageKind = p.kind === "parameter" ? "parameter" : p.kind === "constant" ? "constant" : (set?.[1] ?? "state");
    const name = set ? p.name.slice(set[0].length) : p.name;
    const key = `${kind}:${name}`;
    const known = this.persistent.get(key);
    if (known !== undefined) return { id: known, kind };
    const id = this.part(kind, name, p.value.type) ?? this.storage(kind, name, p.value.type);
    this.persistent.set(key, id);
    return { id, kind };
  }

  /** The storage of a trained weight, or of what belongs to it: a part of its pack. */
  private part(kind: StorageKind, name: string, type: TensorType): number | undefined {
    const number = packedKinds.includes(kind) ? this.packs.findIndex((pack) => pack.offsets.has(name)) : -1;
    if (number < 0) return undefined;
    const id = this.storage(kind, name, type);
    const whole = this.wholePack(kind, number);
    this.storages[id]!.within = { storage: whole, offset: this.packs[number]!.offsets.get(name)! };
    this.members.set(whole, [...(this.members.get(whole) ?? []), id]);
    this.packOf.set(id, whole);
    return id;
  }

  /** Weights of a run, or their gradients, as one storage; undefined when these are no run in this order. */
  private runOf(kind: StorageKind, keys: readonly string[], type: TensorType): number | undefined {
    if (!this.runs.has(keys)) return undefined;
    const name = `${keys[0]} and ${keys.length - 1} more`;
    const known = this.persistent.get(`${kind} run ${name}`);
    if (known !== undefined) return known;
    const number = this.packs.findIndex((pack) => pack.offsets.has(keys[0]!));
    const id = this.storage(kind, name, type);
    this.storages[id]!.within = { storage: this.wholePack(kind, number), offset: this.packs[number]!.offsets.get(keys[0]!)! };
    this.persistent.set(`${kind} run ${name}`, id);
    return id;
  }

  /** A part of a storage, which may be one itself. */
  private partOf(whole: number, offset: Size, name: string, type: TensorType): number {
    const { kind, within, entry } = this.storages[whole]!;
    const id = this.storage(kind, name, type, entry);
    this.storages[id]!.within = { storage: within?.storage ?? whole, offset: add(within?.offset ?? 0, offset) };
    return id;
  }

  private wholePack(kind: StorageKind, number: number): number {
    const key = `${kind} pack ${number}`;
    const known = this.persistent.get(key);
    if (known !== undefined) return known;
    const id = this.storages.push({ kind, name: `pack ${number}`, bytes: this.packs[number]!.bytes }) - 1;
    this.persistent.set(key, id);
    return id;
  }

  private gradientPart(name: string, type: TensorType): number | undefined {
    const key = `gradient:${name}`;
    const id = this.persistent.get(key) ?? this.part("gradient", name, type);
    if (id !== undefined) this.persistent.set(key, id);
    return id;
  }

  private entry(schedule: ScheduleSpec): Entry {
    const inputs = new Map<string, Port>();
    const outputs = new Map<string, Port>();
    let position = 0;
    const computations: (readonly Computation[])[] = [];
    const segments = schedule.segments.map(({ fn: name, repeat }) => {
      const fn = this.module.fns.find((f) => f.name === name);
      if (!fn) throw new InternalError(`schedule ${schedule.name} names @${name}, which the module lacks`);
      const lowered = new EntryFn(this.module, fn, schedule.name, inputs, position, {
        storage: (kind, label, type) => this.storage(kind, label, type, schedule.name),
        persistent: (p) => this.persistentStorage(p),
        gradientPart: (key, type) => this.gradientPart(key, type),
        runOf: (kind, keys, type) => this.runOf(kind, keys, type),
        partOf: (whole, offset, label, type) => this.partOf(whole, offset, label, type),
        packNumber: (key) => this.packs.findIndex((pack) => pack.offsets.has(key)),
        squaresBeside: (region) => this.squaresBeside(region),
        packOf: (id) => this.packOf.get(id),
        membersOf: (id) => this.members.get(id) ?? [],
        bytesOf: (id) => this.storages[id]!.bytes,
        packed: this.options.halves === false,
        maxStorageBuffers: this.options.maxStorageBuffers ?? 8,
        maxBinding: this.options.maxBinding ?? Number.POSITIVE_INFINITY,
        kindOf: (id) => this.storages[id]!.kind,
        touch: (id, at) => {
          const s = this.storages[id]!;
          if (s.kind === "activation") s.live = [Math.min(s.live?.[0] ?? at, at), Math.max(s.live?.[1] ?? at, at)];
        },
        output: (id) => this.makeOutput(id),
        kernel: (region, stored, label) => this.kernel(region, stored, label),
      }).run();
      for (const port of lowered.outputs) outputs.set(port.name, port);
      position += lowered.dispatches.length;
      computations.push(...lowered.computations);
      return { repeat, dispatches: lowered.dispatches };
    });
    this.computations.set(schedule.name, computations);
    return { name: schedule.name, inputs: [...inputs.values()], outputs: [...outputs.values()], segments };
  }

  /** What was an activation is handed out; a part takes its whole along. */
  private makeOutput(id: number): void {
    const whole = this.storages[id]!.within?.storage ?? id;
    for (const [i, s] of this.storages.entries()) {
      if ((i !== whole && s.within?.storage !== whole) || s.kind !== "activation") continue;
      s.kind = "output";
      delete s.live;
    }
  }

  private squaresBeside(region: Region): SquaresBeside | undefined {
    const { batch } = this.options;
    return families.map((family) => family.squaresBeside?.({ ...region, batch }, this.options)).find((found) => found);
  }

  /** The kernel for a region, made once for all regions that are the same: every block of a model has them. */
  private kernel(region: Region, stored: Fn, label: string): RegionKernel {
    const { body, ...rest } = region;
    const key = `${JSON.stringify(rest)}\n${fnKey(body)}`;
    const known = this.lowered.get(key) ?? this.lowerRegion(region, stored, label);
    this.lowered.set(key, known);
    return known;
  }

  /** Shared by all regions whose texts are the same, whatever their sizes. */
  private lowerRegion(region: Region, stored: Fn, label: string): RegionKernel {
    for (const family of families) {
      const made = family.lower({ ...region, batch: this.options.batch }, this.options);
      if (!made) continue;
      const { choiceKey, before, between } = made;
      return {
        ...this.stage(made, region, "read"),
        ...(choiceKey === undefined ? {} : { choiceKey }),
        ...(before === undefined ? {} : { before: this.stage(before, region, "write"), between: between! }),
        work: workOfBody(stored),
      };
    }
    throw new InternalError(`no kernel family takes ${label}`);
  }

  /** `parts`: what it does with the memory between two kernels, where it is one of them. */
  private stage(made: Stage, region: Region, parts: Effect): StageKernel {
    const { binds } = made;
    const of = <T>(all: readonly T[], last: T): readonly T[] =>
      binds === undefined ? all : [...binds.map((i) => all[i]!), last];
    const effects = of(effectsOf(region), parts);
    const access = of(
      region.bindings.map((b) => b.access),
      "read_write",
    );
    const key = [...effects, ...made.variants.map((v) => v.text)].join("\0");
    return {
      key,
      uniforms: made.words.sizes,
      extent: made.extent,
      ...(binds === undefined ? {} : { binds }),
      id: () => this.kernelId(key, made, access, effects),
    };
  }

  private kernelId(key: string, made: Stage, access: Kernel["access"], effects: readonly Effect[]): number {
    const known = this.kernelIds.get(key);
    if (known !== undefined) return known;
    const id = this.kernels.length;
    const name = `${String(id).padStart(3, "0")}-${made.family}`;
    this.kernels.push({
      name,
      family: made.family,
      access,
      effects,
      words: made.words.count,
      variants: made.variants.map(({ text, ...v }) => {
        const file = `kernels/${name}.${v.name}.wgsl`;
        this.wgsl[file] = text;
        return { ...v, file };
      }),
    });
    this.kernelIds.set(key, id);
    return id;
  }
}

/** What the kernel does to each binding: activations are bound read_write even when they are only read. */
function effectsOf(region: Region): ("read" | "write" | "update")[] {
  return region.bindings.map((_, i) => (!region.results.includes(i) ? "read" : region.params.includes(i) ? "update" : "write"));
}
