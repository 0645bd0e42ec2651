/**
 * WebGPU's memory rules and the rules of lifetimes, checked on a layout without any device. A browser would refuse the first kind
 * at some dispatch, with a buffer's number in the message; the second kind it would run, with wrong numbers. Here each violation
 * names the dispatch. A packer that is right never fails this; it is checked all the same, every time, because it is cheap.
 *
 * How storages are bound, by kind: activations, outputs and states always read_write (even by kernels that only read them, so that
 * one slab has one use in a dispatch), inputs and constants always read, the parameter sets read, except where a kernel writes.
 */
import { fold, groupsOf, rowLimit } from "./grid.js";
import { ALIGNMENT, type Layout, limitOf, livesOf, type Place } from "./pack.js";
import type { Dispatch, Entry, Kernel, Program, StorageKind } from "./program.js";
import { evaluate } from "./size.js";

const MOST_VIOLATIONS = 20;
const alwaysWritable: readonly StorageKind[] = ["activation", "output", "state", "gradient"];
const neverWritable: readonly StorageKind[] = ["input", "constant"];

const overlap = (a: Place, b: Place): boolean =>
  a.slab === b.slab && a.offset < b.offset + b.bytes && b.offset < a.offset + a.bytes;

const overlapsWholly = (whole: Place, part: Place): boolean =>
  whole.offset <= part.offset && part.offset + part.bytes <= whole.offset + whole.bytes;

/**
 * The violations of a layout of a program that `validate` has passed, for the layout's entries at this batch; none means that WebGPU
 * will take every dispatch. `limits` are a device's, when there is one; the profile's hold anyway.
 */
export function validateLayout(
  program: Program,
  layout: Layout,
  batch: number,
  limits: Readonly<Record<string, number>> = {},
): string[] {
  const problems: string[] = [];
  const say = (problem: string): void => {
    if (problems.length < MOST_VIOLATIONS) problems.push(problem);
  };
  if (layout.batch !== batch) say(`the layout is for batch ${layout.batch}, not ${batch}`);
  checkPlaces(program, layout, batch, limits, say);
  for (const name of layout.entries) {
    const entry = program.entries.find((candidate) => candidate.name === name);
    if (!entry) {
      say(`the layout is for entry "${name}", which does not exist`);
      continue;
    }
    for (const dispatch of entry.segments.flatMap((segment) => segment.dispatches)) {
      checkDispatch(program, layout, dispatch, limits, (problem) => say(`${name}: "${dispatch.label}" ${problem}`));
    }
    checkLives(program, layout, entry, say);
    checkWrites(program, entry, say);
  }
  return problems;
}

type Say = (problem: string) => void;

/** Slabs and places by themselves. */
function checkPlaces(program: Program, layout: Layout, batch: number, limits: Readonly<Record<string, number>>, say: Say): void {
  const slabLimit = limitOf(program, "maxBufferSize", limits);
  const bindingLimit = limitOf(program, "maxStorageBufferBindingSize", limits);
  layout.slabs.forEach(({ kind, bytes }, i) => {
    if (bytes > slabLimit) say(`slab ${i} (${kind}) has ${bytes} bytes, maxBufferSize is ${slabLimit}`);
    if (bytes % 4 !== 0) say(`slab ${i} (${kind}) has ${bytes} bytes, expected a multiple of 4`);
  });
  const persistent: [string, Place][] = [];
  program.storages.forEach((storage, id) => {
    const place = layout.places[id];
    if (!place) return;
    const at = `${storage.kind} "${storage.name}"`;
    const slab = layout.slabs[place.slab];
    if (!slab) {
      say(`${at} lies in slab ${place.slab}, there are ${layout.slabs.length}`);
      return;
    }
    if (slab.kind !== storage.kind) say(`${at} lies in a slab of kind ${slab.kind}`);
    if (place.offset % ALIGNMENT !== 0 || place.offset < 0)
      say(`${at} lies at ${place.offset}, expected a multiple of ${ALIGNMENT}`);
    if (place.offset + place.bytes > slab.bytes) {
      say(`${at} ends at byte ${place.offset + place.bytes} of slab ${place.slab}, which has ${slab.bytes}`);
    }
    if (place.bytes < evaluate(storage.bytes, batch))
      say(`${at} needs ${evaluate(storage.bytes, batch)} bytes, has ${place.bytes}`);
    if (place.bytes > bindingLimit) say(`${at} has ${place.bytes} bytes, maxStorageBufferBindingSize is ${bindingLimit}`);
    const whole = storage.within && layout.places[storage.within.storage];
    if (storage.within && !(whole && whole.slab === place.slab && overlapsWholly(whole, place)))
      say(`${at} does not lie inside the storage that it is a part of`);
    if (storage.kind !== "activation" && !storage.within) persistent.push([at, place]);
  });
  // Everything but activations keeps its bytes for itself.
  persistent.sort(([, a], [, b]) => a.slab - b.slab || a.offset - b.offset);
  persistent.forEach(([at, place], i) => {
    const before = persistent[i - 1];
    if (before && overlap(before[1], place)) say(`${before[0]} and ${at} overlap`);
  });
}

/** What WebGPU checks when a dispatch is encoded. `say` names the dispatch. */
function checkDispatch(
  program: Program,
  layout: Layout,
  { kernel: kernelId, bindings, extent }: Dispatch,
  limits: Readonly<Record<string, number>>,
  say: Say,
): void {
  const kernel = program.kernels[kernelId]!;
  const most = limitOf(program, "maxStorageBuffersPerShaderStage", limits);
  if (bindings.length > most) say(`binds ${bindings.length} storages, the limit is ${most}`);
  const slabs = new Map<number, { readonly writable: boolean; readonly name: string }>();
  bindings.forEach((id, i) => {
    const storage = program.storages[id]!;
    const at = `${storage.kind} "${storage.name}"`;
    const place = layout.places[id];
    if (!place) {
      say(`binds ${at}, which has no place`);
      return;
    }
    const writable = kernel.access[i] === "read_write";
    if (bindings.indexOf(id) !== i) say(`binds ${at} twice`);
    if (writable && neverWritable.includes(storage.kind)) say(`binds ${at} read_write, which is only ever read`);
    if (!writable && alwaysWritable.includes(storage.kind)) say(`binds ${at} read, but its slab is always bound read_write`);
    const other = slabs.get(place.slab);
    if (other && other.writable !== writable) {
      say(`binds slab ${place.slab} both read and read_write: "${other.name}" and "${storage.name}"`);
    }
    slabs.set(place.slab, { writable, name: storage.name });
    bindings.slice(0, i).forEach((otherId, j) => {
      const otherPlace = layout.places[otherId];
      if (otherId === id || !otherPlace || !(writable || kernel.access[j] === "read_write")) return;
      if (overlap(place, otherPlace)) say(`binds "${program.storages[otherId]!.name}" and "${storage.name}", which overlap`);
    });
  });
  for (const { name, tile } of kernel.variants) {
    try {
      fold(groupsOf(extent, tile, layout.batch), rowLimit(program, limits));
    } catch (error) {
      say(`has too large a grid for variant "${name}": ${(error as Error).message}`);
    }
  }
}

/** No two activations that are alive at one position share a byte; each is touched only in its entry and while it says it lives. */
function checkLives(program: Program, layout: Layout, entry: Entry, say: Say): void {
  const flat = entry.segments.flatMap((segment) => segment.dispatches);
  const isActivation = (id: number) => program.storages[id]!.kind === "activation";
  flat.forEach(({ bindings, label }, position) => {
    for (const id of bindings.filter(isActivation)) {
      const { name, live, entry: owner } = program.storages[id]!;
      if (owner !== entry.name) say(`${entry.name}: "${label}" touches "${name}", which belongs to ${owner}`);
      if (live && (position < live[0] || position > live[1])) {
        say(
          `${entry.name}: "${label}" is dispatch ${position} and touches "${name}", which says it lives from ${live[0]} to ${live[1]}`,
        );
      }
    }
  });

  // A sweep by first position: only those still alive are compared.
  const lives = [...livesOf(program, entry)].filter(
    ([id]) => isActivation(id) && layout.places[id] && !program.storages[id]!.within,
  );
  lives.sort(([, a], [, b]) => a[0] - b[0]);
  let alive: (readonly [number, readonly [number, number]])[] = [];
  for (const [id, life] of lives) {
    alive = alive.filter(([, other]) => other[1] >= life[0]);
    for (const [other] of alive) {
      if (!overlap(layout.places[id]!, layout.places[other]!)) continue;
      const names = `"${program.storages[other]!.name}" and "${program.storages[id]!.name}"`;
      say(`${entry.name}: "${flat[life[0]]?.label}" makes ${names} alive at once, and they overlap`);
    }
    alive.push([id, life]);
  }
}

const written = (kernel: Kernel, i: number): boolean => kernel.effects?.[i] !== "read" && kernel.access[i] === "read_write";

/** The first dispatch that touches an activation, or what it is a part of, must write it, and some dispatch must write each output. */
function checkWrites(program: Program, entry: Entry, say: Say): void {
  const seen = new Set<number>();
  const partly = new Set<number>();
  const filled = new Set<number>();
  for (const { kernel: kernelId, bindings, label } of entry.segments.flatMap((segment) => segment.dispatches)) {
    const kernel = program.kernels[kernelId]!;
    bindings.forEach((id, i) => {
      const storage = program.storages[id]!;
      const effect = kernel.effects?.[i];
      const known = seen.has(id) || partly.has(id) || seen.has(storage.within?.storage ?? id);
      const blind = !known && (storage.kind === "activation" || storage.kind === "output");
      if (blind && (effect === "read" || effect === "update")) {
        say(`${entry.name}: "${label}" reads "${storage.name}" before anything has written it`);
      }
      seen.add(id);
      if (storage.within) partly.add(storage.within.storage);
      if (written(kernel, i)) filled.add(id);
    });
  }
  for (const { name, storage } of entry.outputs) {
    const { kind, within } = program.storages[storage]!;
    if (kind === "output" && !filled.has(storage) && !filled.has(within?.storage ?? storage))
      say(`${entry.name}: nothing writes the output "${name}"`);
  }
}

/** The access that a kernel must declare for a storage of this kind, where the kind alone decides. */
export const accessOf = (kind: StorageKind): "read" | "read_write" | undefined =>
  alwaysWritable.includes(kind) ? "read_write" : neverWritable.includes(kind) ? "read" : undefined;
