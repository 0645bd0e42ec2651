/**
 * Numbers of stored tensors, a page at a time: whoever wants a few numbers of a large tensor reads the pages that they lie on, and pages
 * that were read are kept for the next, up to a bound. So what a check reads takes the same memory however large the model is.
 */
import type { Box } from "../ir/boxes.js";
import type { DType } from "../ir/types.js";
import { halfToNumber } from "../program/half.js";
import { evaluate } from "../program/size.js";
import type { Session } from "../runtime/session.js";

const PAGE = 1 << 16;
/** Pages that are asked for at once, and bytes that are kept. */
const MOST_ASKED = 128;
const MOST_KEPT = 32 << 20;

/** How a tensor lies in its storage: elements from one place of each axis to the next, and to its first. */
export interface Lying {
  readonly storage: number;
  readonly dtype: DType;
  readonly strides: readonly number[];
  readonly offset: number;
}

/** Elements that follow one another. */
interface Run {
  readonly from: number;
  readonly size: number;
}

/** A run, or the part of one that lies on a page. */
interface OnPage extends Run {
  readonly page: number;
}

export class Pages {
  readonly #session: Session;
  /** By storage and number, the oldest first. */
  readonly #kept = new Map<string, Promise<ArrayBuffer>>();
  /** Asked for and not yet read: what is asked for in one turn of the event loop is read together. */
  #asked: { readonly storage: number; readonly page: number; readonly give: (bytes: Promise<ArrayBuffer>) => void }[] = [];

  constructor(session: Session) {
    this.#session = session;
  }

  /** What was read is no longer so: a dispatch has run. */
  forget(): void {
    this.#kept.clear();
  }

  /** The numbers of a box, row-major. */
  async box({ storage, dtype, strides, offset }: Lying, box: Box): Promise<Float64Array> {
    const perPage = PAGE / (dtype === "f16" ? 2 : 4);
    const runs = runsOf(box, strides, offset);
    const out = new Float64Array(runs.reduce((n, { size }) => n + size, 0));
    let done = 0;
    for (const group of groups(onPages(runs, perPage))) {
      const buffers = new Map<number, ArrayBuffer>();
      const pages = [...new Set(group.map(({ page }) => page))];
      const read = await Promise.all(pages.map((page) => this.#page(storage, page)));
      for (const [i, page] of pages.entries()) buffers.set(page, read[i]!);
      for (const { page, from, size } of group) {
        copyNumbers(buffers.get(page)!, dtype, from, size, out, done);
        done += size;
      }
    }
    return out;
  }

  #page(storage: number, page: number): Promise<ArrayBuffer> {
    const key = `${storage} ${page}`;
    const known = this.#kept.get(key);
    if (known) return known;
    const bytes = new Promise<ArrayBuffer>((give) => {
      if (this.#asked.length === 0) setImmediate(() => this.#read());
      this.#asked.push({ storage, page, give });
    });
    this.#kept.set(key, bytes);
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size * PAGE <= MOST_KEPT) break;
      this.#kept.delete(oldest);
    }
    return bytes;
  }

  #read(): void {
    const { program, batch } = this.#session;
    const asked = this.#asked;
    this.#asked = [];
    const parts = asked.map(({ storage, page }) => {
      const whole = Math.ceil(evaluate(program.storages[storage]!.bytes, batch) / 4) * 4;
      const offset = page * PAGE;
      return { storage, offset, bytes: Math.min(PAGE, whole - offset) };
    });
    const all = this.#session.readParts(parts);
    asked.forEach(({ give }, i) => {
      give(all.then((buffers) => buffers[i]!));
    });
  }
}

/** Cut where pages end. */
function* onPages(runs: readonly Run[], perPage: number): Generator<OnPage> {
  for (const { from, size } of runs) {
    for (let at = from; at < from + size; ) {
      const page = Math.floor(at / perPage);
      const end = Math.min(from + size, (page + 1) * perPage);
      yield { page, from: at - page * perPage, size: end - at };
      at = end;
    }
  }
}

/** As many together as lie on so many pages. */
function* groups(runs: Iterable<OnPage>): Generator<OnPage[]> {
  let group: OnPage[] = [];
  let pages = new Set<number>();
  for (const run of runs) {
    if (pages.size === MOST_ASKED && !pages.has(run.page)) {
      yield group;
      [group, pages] = [[], new Set()];
    }
    pages.add(run.page);
    group.push(run);
  }
  if (group.length > 0) yield group;
}

/** The elements of a box in row-major order, those that lie side by side together. */
function runsOf(box: Box, strides: readonly number[], offset: number): Run[] {
  if (box.some(({ size }) => size === 0)) return [];
  // From the last axis on, as long as each steps on where the axes behind it end.
  let axis = box.length - 1;
  let [first, length] = [offset, 1];
  for (; axis >= 0 && (box[axis]!.size === 1 || strides[axis] === length); axis--) {
    first += box[axis]!.from * strides[axis]!;
    length *= box[axis]!.size;
  }
  let starts = [first];
  box.slice(0, axis + 1).forEach(({ from, size }, i) => {
    const steps = Array.from({ length: size }, (_, k) => (from + k) * strides[i]!);
    starts = starts.flatMap((start) => steps.map((step) => start + step));
  });
  return starts.map((from) => ({ from, size: length }));
}

function copyNumbers(buffer: ArrayBuffer, dtype: DType, from: number, size: number, out: Float64Array, to: number): void {
  if (dtype === "f16") {
    new Uint16Array(buffer, 2 * from, size).forEach((half, i) => {
      out[to + i] = halfToNumber(half);
    });
    return;
  }
  const View = dtype === "f32" ? Float32Array : dtype === "i32" ? Int32Array : Uint32Array;
  out.set(new View(buffer, 4 * from, size), to);
}
