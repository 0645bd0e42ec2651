/**
 * Packs blocks with lifetimes into as little memory as it can: blocks whose lives overlap get disjoint bytes.
 *
 * The problem is NP-hard (dynamic storage allocation), but programs are kind: placing blocks one by one, each at the best hole
 * among those already placed that live at the same time, comes within a few percent of the bound when the order is right. Which
 * order is right differs, so several are tried; then the block that ends highest is moved to the front of the best order, and
 * moved again, as long as that helps. Everything is deterministic, and it stops at once when the lower bound is met.
 */

/** Lifetimes are positions in a schedule, both ends included. Bytes are taken as they are: align them first. */
export interface Block {
  readonly bytes: number;
  readonly from: number;
  readonly to: number;
}

/** `slabs[i]` and `offsets[i]` belong to block i; `sizes` are the slabs' own. */
export interface Packing {
  readonly slabs: readonly number[];
  readonly offsets: readonly number[];
  readonly sizes: readonly number[];
}

type Fit = "first" | "best";

/** No packing is smaller: the most bytes that are alive at one position. */
export function lowerBound(blocks: readonly Block[]): number {
  const events = blocks.flatMap(({ bytes, from, to }) => [
    [from, bytes],
    [to + 1, -bytes],
  ]);
  events.sort((a, b) => a[0]! - b[0]! || a[1]! - b[1]!);
  let now = 0;
  let most = 0;
  for (const [, bytes] of events) {
    now += bytes!;
    most = Math.max(most, now);
  }
  return most;
}

const total = (packing: Packing): number => packing.sizes.reduce((sum, bytes) => sum + bytes, 0);
const life = (block: Block): number => block.to - block.from + 1;

/** Each order is total (ties end at the block's number), so the result never depends on the sort. */
const orders: readonly ((a: Block, b: Block) => number)[] = [
  (a, b) => b.bytes - a.bytes || a.from - b.from,
  (a, b) => b.bytes * life(b) - a.bytes * life(a) || a.from - b.from,
  (a, b) => life(b) - life(a) || b.bytes - a.bytes,
  (a, b) => a.from - b.from || b.bytes - a.bytes,
  (a, b) => b.to - a.to || b.bytes - a.bytes,
];

/** Comparisons spent at most on improving a packing: about a tenth of a second. */
const EFFORT = 4e7;

/** A packing into slabs of at most `slabLimit` bytes; every block must fit into one. */
export function packIntervals(blocks: readonly Block[], slabLimit: number = Number.MAX_SAFE_INTEGER): Packing {
  const bound = lowerBound(blocks);
  let best: Packing | undefined;
  let bestOrder: readonly number[] = [];
  let bestFit: Fit = "best";
  const consider = (order: readonly number[], fit: Fit): boolean => {
    const packing = place(blocks, order, fit, slabLimit);
    if (best && total(packing) >= total(best)) return false;
    [best, bestOrder, bestFit] = [packing, order, fit];
    return true;
  };

  const numbers = blocks.map((_, i) => i);
  for (const compare of orders) {
    const order = numbers.toSorted((a, b) => compare(blocks[a]!, blocks[b]!) || a - b);
    for (const fit of ["best", "first"] as const) {
      consider(order, fit);
      if (total(best!) === bound) return best!;
    }
  }

  // Blocks at the top are in the way only because others came first. Ties and failures walk down to the next highest one.
  let rank = 0;
  for (let left = EFFORT / Math.max(1, blocks.length ** 2); left > 0 && rank < Math.min(8, blocks.length); left--) {
    const top = highest(blocks, best!, rank);
    const order = [top, ...bestOrder.filter((i) => i !== top)];
    rank = consider(order, bestFit) ? 0 : rank + 1;
    if (total(best!) === bound) break;
  }
  return best!;
}

/** The block of the given rank by the address of its end. */
function highest(blocks: readonly Block[], packing: Packing, rank: number): number {
  const end = (i: number) => packing.offsets[i]! + blocks[i]!.bytes;
  const ordered = blocks.map((_, i) => i).sort((a, b) => packing.slabs[b]! - packing.slabs[a]! || end(b) - end(a) || a - b);
  return ordered[rank]!;
}

/** Places blocks in the given order, each into the first or the tightest hole. */
function place(blocks: readonly Block[], order: readonly number[], fit: Fit, slabLimit: number): Packing {
  const slabs = new Array<number>(blocks.length).fill(0);
  const offsets = new Array<number>(blocks.length).fill(0);
  const sizes: number[] = [];
  /** Per slab, the numbers of its blocks by rising offset. */
  const placed: number[][] = [];
  for (const i of order) {
    const block = blocks[i]!;
    let slab = 0;
    let offset: number | undefined;
    for (; offset === undefined; slab++) {
      if (slab === placed.length) {
        placed.push([]);
        sizes.push(0);
        // A slab of its own takes any block; the caller has made sure that it is allowed to be that large.
        offset = 0;
      } else {
        offset = hole(blocks, placed[slab]!, offsets, block, fit, slabLimit);
      }
    }
    slab--;
    slabs[i] = slab;
    offsets[i] = offset;
    sizes[slab] = Math.max(sizes[slab]!, offset + block.bytes);
    insert(placed[slab]!, i, offsets);
  }
  return { slabs, offsets, sizes };
}

/** An offset where `block` is clear of all blocks that live with it, or undefined when the slab would grow past its limit. */
function hole(
  blocks: readonly Block[],
  placed: readonly number[],
  offsets: readonly number[],
  block: Block,
  fit: Fit,
  slabLimit: number,
): number | undefined {
  let end = 0;
  let found: number | undefined;
  let slack = Number.POSITIVE_INFINITY;
  for (const j of placed) {
    const other = blocks[j]!;
    if (other.to < block.from || other.from > block.to) continue;
    const room = offsets[j]! - end - block.bytes;
    if (room >= 0 && room < slack) {
      if (fit === "first") return end;
      found = end;
      slack = room;
    }
    end = Math.max(end, offsets[j]! + other.bytes);
  }
  return found ?? (end + block.bytes <= slabLimit ? end : undefined);
}

/** Binary insertion by offset, after equals. */
function insert(placed: number[], i: number, offsets: readonly number[]): void {
  let low = 0;
  let high = placed.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (offsets[placed[middle]!]! <= offsets[i]!) low = middle + 1;
    else high = middle;
  }
  placed.splice(low, 0, i);
}
