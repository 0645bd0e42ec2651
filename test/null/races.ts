/**
 * wgsl_reflect's detector of races: an interpreter that holds all invocations of a workgroup in step and reports two accesses to the same
 * memory between which there is no barrier. What it gets wrong, and what takes it too long, is mended here.
 */
import { CallExpr, detectRaces, MemoryTracker } from "wgsl_reflect/wgsl_reflect.module.js";

/** Races and divergent barriers in the first workgroup; what is bound to group 0, in the order of its bindings. */
export function racesIn(text: string, bound: readonly (Float32Array | { readonly uniform: unknown })[]): string[] {
  waiting = withBarriers(text);
  const { races, errors } = detectRaces(readable(text), "main", [1, 1, 1], { 0: Object.fromEntries(bound.entries()) });
  return [...errors, ...races.map((race) => race.message)];
}

/**
 * The interpreter overlooks a barrier that is the first statement of a block: something that does nothing goes before it. And `block` is a
 * word of its own there.
 */
const readable = (text: string): string =>
  text.replaceAll("workgroupBarrier();", "let step_ = 0u; workgroupBarrier();").replaceAll(/\bblock\b/g, "block_");

/**
 * The interpreter keeps what a function returned once for all invocations, and hands each what the last one got: an index that a function
 * finds would be another's. Nothing kept, the call is evaluated anew where its value is used; not so one with a barrier inside, which cannot be
 * evaluated at once, and whose value here is that of all.
 */
let waiting = new Set<string>();
const keepValue = CallExpr.prototype.setCachedReturnValue;
CallExpr.prototype.setCachedReturnValue = function (value: unknown) {
  if (waiting.has(this.name)) keepValue.call(this, value);
};

/** Functions with a barrier, also in what they call. */
function withBarriers(text: string): Set<string> {
  const functions = text.split(/^fn /m).slice(1);
  const found = new Set(["workgroupBarrier"]);
  for (let before = 0; before !== found.size; ) {
    before = found.size;
    for (const fn of functions)
      if ([...fn.matchAll(/(\w+)\(/g)].slice(1).some(([, name]) => found.has(name!))) found.add(/^\w+/.exec(fn)![0]);
  }
  return found;
}

/** Bytes; every access here is one of whole words. */
const WORD = 4;
/** In place of an invocation. */
const NOBODY = -1;
const SEVERAL = -2;
/** More races than these say no more. */
const TOLD = 3;

/** Who read and who wrote each word of a buffer since the last barrier. */
interface Touched {
  readers: Int32Array;
  writers: Int32Array;
}

/** The detector's own way, for the test that holds ours against it. */
export const { record: recordEach, endPhase: compareEach } = MemoryTracker.prototype;

/**
 * The detector keeps all accesses between two barriers and holds each against each other: minutes for a tile of 128 × 128, and where all race
 * more reports than there is memory for. Whether one races can be said when it comes, by who touched its words before.
 */
const buffersOf = new WeakMap<MemoryTracker, Map<string, Touched>>();
MemoryTracker.prototype.record = function (bufferId, offset, size, kind, atomic) {
  if (atomic || offset % WORD !== 0 || size % WORD !== 0)
    throw new Error(`${bufferId}: only whole words, without atomics, are known here`);
  const [first, end] = [offset / WORD, (offset + size) / WORD];
  const { readers, writers } = touched(this, bufferId, end);
  const own = kind === "read" ? readers : writers;
  const me = this.currentInvocation;
  const isOther = (who: number): boolean => who !== NOBODY && who !== me;
  for (let word = first; word < end; word++) {
    const other = isOther(writers[word]!) ? writers[word]! : kind === "write" ? readers[word]! : NOBODY;
    if (isOther(other) && this.races.length < TOLD) {
      const byte = word * WORD;
      const a = { bufferId, offset, size, kind, atomic, invocation: me, line: this.currentLine };
      const who = other === SEVERAL ? "several others" : `invocation ${other}`;
      const message = `Data race on '${bufferId}' byte ${byte}: invocation ${me} (${kind}, line ${this.currentLine}) and ${who}`;
      this.races.push({ bufferId, byte, a, b: { ...a, invocation: other }, message });
    }
    own[word] = isOther(own[word]!) ? SEVERAL : me;
  }
};
MemoryTracker.prototype.endPhase = function () {
  for (const { readers, writers } of buffersOf.get(this)?.values() ?? []) {
    readers.fill(NOBODY);
    writers.fill(NOBODY);
  }
};

/** What is known of a buffer, with room for so many words. */
function touched(tracker: MemoryTracker, bufferId: string, words: number): Touched {
  const buffers = buffersOf.get(tracker) ?? new Map<string, Touched>();
  const known = buffers.get(bufferId) ?? { readers: new Int32Array(), writers: new Int32Array() };
  if (known.readers.length < words)
    for (const side of ["readers", "writers"] as const) {
      const longer = new Int32Array(2 * words).fill(NOBODY);
      longer.set(known[side]);
      known[side] = longer;
    }
  buffersOf.set(tracker, buffers.set(bufferId, known));
  return known;
}
