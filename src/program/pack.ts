/**
 * Turns a Program and a batch into a memory layout: which slabs there are, and where in them each storage lies.
 *
 * A slab becomes one GPU buffer. WebGPU binds a buffer either read-only or read_write in one dispatch, so what is only ever read
 * (inputs, constants) never shares a slab with what is written. Activations share bytes over time; all entries use the same
 * slabs, because only one of them runs at a time. The parameter sets (weights, both moments, EMA, gradients and their sums) have one common
 * layout: a weight lies at the same slab number and offset in each. Parts of a storage are placed with it.
 *
 * Pure and deterministic: the compiler's report and the runtime call the same function and get the same numbers.
 */
import { type Block, lowerBound, packIntervals } from "./intervals.js";
import { type Entry, type Program, type StorageKind, webLimits } from "./program.js";
import { evaluate } from "./size.js";

/** Offsets are multiples of this: WebGPU's largest alignment of a binding. */
export const ALIGNMENT = 256;

export interface Slab {
  readonly kind: StorageKind;
  readonly bytes: number;
}

export interface Place {
  readonly slab: number;
  readonly offset: number;
  /** Size of the binding: the storage's bytes, rounded up to whole vec4 elements. */
  readonly bytes: number;
}

export interface Layout {
  readonly batch: number;
  /** The entries that this layout serves. */
  readonly entries: readonly string[];
  readonly slabs: readonly Slab[];
  /** By storage id; undefined for storages that these entries never touch. */
  readonly places: readonly (Place | undefined)[];
  /** Bytes of the activation slabs under which no packing can go. */
  readonly activationBound: number;
}

export interface PackOptions {
  /** Default: all entries. */
  readonly entries?: readonly string[];
  /** A device's limits, by WebGPU name; the profile's apply anyway. */
  readonly limits?: Readonly<Record<string, number>>;
}

/** What of a program decides its layout. */
export type Planned = Pick<Program, "profile" | "storages" | "entries">;

/** A program that no layout within the limits exists for, or a batch or entry that makes no sense. */
export class PackError extends Error {
  override readonly name = "PackError";
  /** `argument`: the caller asked for something that does not exist; `limit`: too large for the limits. */
  readonly reason: "argument" | "limit";

  constructor(reason: "argument" | "limit", message: string) {
    super(message);
    this.reason = reason;
  }
}

/** The kinds that lie in parallel: one place for a name, whichever of the sets it is in. */
export const parallelKinds: readonly StorageKind[] = ["parameter", "moment1", "moment2", "ema", "accumulator", "gradient"];

/** The limit that counts: the profile's (else the WebGPU minimum) or the device's, whichever is smaller. */
export function limitOf(program: Planned, name: string, limits: Readonly<Record<string, number>> = {}): number {
  return Math.min(
    program.profile.limits[name] ?? webLimits[name] ?? Number.POSITIVE_INFINITY,
    limits[name] ?? Number.POSITIVE_INFINITY,
  );
}

export function pack(program: Planned, batch: number, options: PackOptions = {}): Layout {
  if (!Number.isSafeInteger(batch) || batch < 1)
    throw new PackError("argument", `the batch is ${batch}, expected a whole number from 1`);
  const names = options.entries ?? program.entries.map((entry) => entry.name);
  const entries = names.map((name) => {
    const entry = program.entries.find((candidate) => candidate.name === name);
    if (entry) return entry;
    throw new PackError(
      "argument",
      `there is no entry "${name}"; this program has ${program.entries.map((e) => e.name).join(", ")}`,
    );
  });
  const slabLimit = alignDown(limitOf(program, "maxBufferSize", options.limits));
  const bindingLimit = limitOf(program, "maxStorageBufferBindingSize", options.limits);

  const lives = entries.map((entry) => livesOf(program, entry));
  const touched = new Set(lives.flatMap((live) => [...live.keys()]));
  const parts = [...touched].filter((id) => program.storages[id]!.within);
  const size = (id: number): number => {
    const storage = program.storages[id]!;
    const bytes = Math.max(16, Math.ceil(evaluate(storage.bytes, batch) / 16) * 16);
    if (bytes <= Math.min(bindingLimit, slabLimit)) return bytes;
    const [limit, name] = bindingLimit < slabLimit ? [bindingLimit, "maxStorageBufferBindingSize"] : [slabLimit, "maxBufferSize"];
    throw new PackError(
      "limit",
      `${storage.kind} "${storage.name}" needs ${bytes} bytes at batch ${batch}, ${name} allows ${limit}; a smaller batch may fit`,
    );
  };

  const slabs: Slab[] = [];
  const places = new Array<Place | undefined>(program.storages.length).fill(undefined);
  const ids = [...touched].filter((id) => !program.storages[id]!.within).sort((a, b) => a - b);
  const ofKind = (kind: StorageKind) => ids.filter((id) => program.storages[id]!.kind === kind);

  placeParallel(program, ids, size, slabLimit, slabs, places);
  for (const kind of ["state", "constant", "input", "output"] as const) {
    placeInLine(kind, ofKind(kind), size, slabLimit, slabs, places);
  }
  const activationBound = placeActivations(program, lives, size, slabLimit, slabs, places);
  for (const id of parts) {
    const { storage, offset } = program.storages[id]!.within!;
    const whole = places[storage]!;
    places[id] = { slab: whole.slab, offset: whole.offset + evaluate(offset, batch), bytes: size(id) };
  }
  return { batch, entries: names, slabs, places, activationBound };
}

/** Exact bytes of GPU memory that a layout takes, by kind of storage. */
export function peak(layout: Layout): {
  readonly total: number;
  readonly byKind: Readonly<Partial<Record<StorageKind, number>>>;
} {
  const byKind: Partial<Record<StorageKind, number>> = {};
  for (const { kind, bytes } of layout.slabs) byKind[kind] = (byKind[kind] ?? 0) + bytes;
  return { total: layout.slabs.reduce((sum, slab) => sum + slab.bytes, 0), byKind };
}

/**
 * First and last position at which an entry touches each storage, ports included (a port alone is a touch without a position:
 * from the first dispatch to the last). Positions count over the flat list of the entry's dispatches.
 *
 * A repeated segment is listed once but runs again and again: what lives when it begins and is used inside must survive to its
 * end, because the next round uses it too.
 */
export function livesOf(program: Planned, entry: Entry): Map<number, readonly [number, number]> {
  const lives = new Map<number, readonly [number, number]>();
  const widen = (id: number, from: number, to: number) => {
    const old = lives.get(id);
    lives.set(id, old ? [Math.min(old[0], from), Math.max(old[1], to)] : [from, to]);
  };
  let position = 0;
  for (const { dispatches, repeat } of entry.segments) {
    const end = position + dispatches.length - 1;
    const begin = position;
    for (const { bindings } of dispatches) {
      for (const id of bindings) {
        const carried = repeat > 1 && (lives.get(id)?.[0] ?? begin) < begin;
        widen(id, position, carried ? end : position);
      }
      position++;
    }
  }
  for (const id of [...lives.keys()]) {
    const live = program.storages[id]?.live;
    if (live) widen(id, live[0], live[1]);
  }
  for (const port of [...entry.inputs, ...entry.outputs]) widen(port.storage, 0, Math.max(0, position - 1));
  // The whole lives while a part does.
  for (const [id, [from, to]] of [...lives]) {
    const whole = program.storages[id]?.within?.storage;
    if (whole !== undefined) widen(whole, from, to);
  }
  return lives;
}

type Size = (id: number) => number;
const alignUp = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
const alignDown = (bytes: number): number => Math.floor(bytes / ALIGNMENT) * ALIGNMENT;

/** One after the other, in the compiler's order, which puts what one kernel reads side by side. */
function placeInLine(
  kind: StorageKind,
  ids: readonly number[],
  size: Size,
  limit: number,
  slabs: Slab[],
  places: (Place | undefined)[],
) {
  const line = cut(ids.map(size), limit);
  const first = slabs.length;
  for (const bytes of line.sizes) slabs.push({ kind, bytes });
  ids.forEach((id, i) => {
    places[id] = { slab: first + line.slabs[i]!, offset: line.offsets[i]!, bytes: size(id) };
  });
}

/** Slab numbers and offsets of pieces in a row. */
function cut(bytes: readonly number[], limit: number): { slabs: number[]; offsets: number[]; sizes: number[] } {
  const slabs: number[] = [];
  const offsets: number[] = [];
  const sizes: number[] = [];
  for (const piece of bytes.map(alignUp)) {
    if (sizes.length === 0 || sizes.at(-1)! + piece > limit) sizes.push(0);
    slabs.push(sizes.length - 1);
    offsets.push(sizes.at(-1)!);
    sizes[sizes.length - 1]! += piece;
  }
  return { slabs, offsets, sizes };
}

/** Names that all sets have come first, so that a set without some of them ends early instead of having holes. */
function placeParallel(
  program: Planned,
  ids: readonly number[],
  size: Size,
  limit: number,
  slabs: Slab[],
  places: (Place | undefined)[],
) {
  const byName = new Map<string, number[]>();
  for (const id of ids) {
    const { kind, name } = program.storages[id]!;
    if (!parallelKinds.includes(kind)) continue;
    const sharing = byName.get(name);
    if (sharing) sharing.push(id);
    else byName.set(name, [id]);
  }
  const rows = [...byName.values()].sort((a, b) => b.length - a.length || a[0]! - b[0]!);
  const line = cut(
    rows.map((row) => Math.max(...row.map(size))),
    limit,
  );
  for (const kind of parallelKinds) {
    /** The set's own slab for each of the common ones; made when something lies in it. */
    const own = new Map<number, number>();
    rows.forEach((row, i) => {
      for (const id of row.filter((candidate) => program.storages[candidate]!.kind === kind)) {
        const common = line.slabs[i]!;
        const slab = own.get(common) ?? slabs.push({ kind, bytes: 0 }) - 1;
        own.set(common, slab);
        places[id] = { slab, offset: line.offsets[i]!, bytes: size(id) };
        slabs[slab] = { kind, bytes: line.offsets[i]! + alignUp(size(id)) };
      }
    });
  }
}

/** Every entry is packed by itself; the slabs are as large as the largest needs. Returns the lower bound. */
function placeActivations(
  program: Planned,
  lives: readonly ReadonlyMap<number, readonly [number, number]>[],
  size: Size,
  limit: number,
  slabs: Slab[],
  places: (Place | undefined)[],
): number {
  const first = slabs.length;
  let bound = 0;
  for (const live of lives) {
    const ids = [...live.keys()]
      .filter((id) => program.storages[id]!.kind === "activation" && !program.storages[id]!.within)
      .sort((a, b) => a - b);
    const blocks = ids.map((id): Block => ({ bytes: alignUp(size(id)), from: live.get(id)![0], to: live.get(id)![1] }));
    const packing = packIntervals(blocks, limit);
    bound = Math.max(bound, lowerBound(blocks));
    packing.sizes.forEach((bytes, i) => {
      slabs[first + i] = { kind: "activation", bytes: Math.max(bytes, slabs[first + i]?.bytes ?? 0) };
    });
    ids.forEach((id, i) => {
      places[id] = { slab: first + packing.slabs[i]!, offset: packing.offsets[i]!, bytes: size(id) };
    });
  }
  return bound;
}
