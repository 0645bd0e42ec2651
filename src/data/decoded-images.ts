/**
 * Image files as a source: decoded in threads when they are asked for, and kept as bytes as far as memory allows, so that a small set is
 * decoded once. A set that is larger keeps those that came first: each epoch asks for every image once, so any others would do no better.
 *
 * A broken file is an error that names it. With `skipBroken` the next whole image of its class takes its place, wherever it was asked for:
 * so labels and order, and with them the whole stream of samples, are the same on every run, and no run begins with reading all files.
 */
import { availableParallelism } from "node:os";
import { Piscina } from "piscina";
import { fail, InternalError } from "../diagnostics/diagnostic.js";
import { systemReason } from "../formats/files.js";
import { type ImageSource, type Skipped, toReal } from "./source.js";

export interface DecodedOptions {
  readonly paths: readonly string[];
  /** Class of each file, [paths]; never falling. */
  readonly labels: Int32Array;
  readonly classes: readonly string[];
  readonly side: number;
  readonly channels: 1 | 3;
  readonly skipBroken?: boolean | undefined;
  /** Where broken files are put down that are left out. */
  readonly skipped: Skipped[];
  readonly cacheBytes?: number | undefined;
  readonly threads?: number | undefined;
  readonly log?: ((line: string) => void) | undefined;
}

/** `reason`: what the decoder or the system said; `system`: its code, when it was the system. */
interface Refusal {
  readonly reason: string;
  readonly system?: string;
}

type Answer = { readonly bytes: Uint8Array } | Refusal;

/** Images of a task: many enough that a thread is seldom without one, few enough that all threads have some. */
const TOGETHER = 8;

export class DecodedImages implements ImageSource {
  readonly count: number;
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly classes: readonly string[];
  readonly labels: Int32Array;
  readonly #options: DecodedOptions;
  #pool: Piscina<object, Answer[]> | undefined;
  #closed = false;
  readonly #kept = new Map<number, Uint8Array>();
  #room: number;
  /** Files that are being decoded. */
  readonly #begun = new Map<number, Promise<Uint8Array | undefined>>();
  readonly #broken = new Map<number, string>();

  constructor(options: DecodedOptions) {
    this.#options = options;
    this.count = options.paths.length;
    this.channels = options.channels;
    this.height = options.side;
    this.width = options.side;
    this.classes = options.classes;
    this.labels = options.labels;
    this.#room = options.cacheBytes ?? 2 ** 30;
  }

  /** Bytes of decoded images in memory. */
  get cachedBytes(): number {
    return this.#kept.size * this.#size;
  }

  get #size(): number {
    return this.channels * this.height * this.width;
  }

  /** Errors: DIT4064 (a file is broken), DIT4065 (with skipBroken: all files of a class are). */
  async load(indices: Uint32Array): Promise<Float32Array<ArrayBuffer>> {
    const x = new Float32Array(indices.length * this.#size);
    const put = (k: number, bytes: Uint8Array): void => toReal(bytes, x, k * this.#size);
    this.#begin(indices);
    // Every one is waited for, so that the error is that of the first broken image, not of the quickest.
    const all = await Promise.allSettled(
      Array.from(indices, async (index, k) => put(k, this.#kept.get(index) ?? (await this.#whole(index)))),
    );
    for (const each of all) if (each.status === "rejected") throw each.reason;
    return x;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#pool?.destroy();
  }

  /** The image, or the next one of its class that is not broken. */
  async #whole(index: number): Promise<Uint8Array> {
    const bytes = await this.#decode(index);
    if (bytes) return bytes;
    if (!this.#options.skipBroken) return this.#refuse(index);
    const { labels } = this;
    const label = labels[index]!;
    const [first, last] = [labels.indexOf(label), labels.lastIndexOf(label)];
    for (let at = index < last ? index + 1 : first; at !== index; at = at < last ? at + 1 : first) {
      const other = await this.#decode(at);
      if (other) return other;
    }
    return fail("DIT4065", `every image of the class "${this.classes[label]}" is broken`, {
      notes: [`${this.#options.paths[first]}: ${this.#broken.get(first)}`, `${last - first + 1} files were tried`],
      help: "get the images of this class again, or remove its folder",
    });
  }

  #refuse(index: number): never {
    return fail("DIT4064", `cannot read the image ${this.#options.paths[index]}`, {
      notes: [this.#broken.get(index)!],
      help: "get the file again or remove it; --skip-broken leaves such files out",
    });
  }

  /** Undefined: the file is broken. */
  async #decode(index: number): Promise<Uint8Array | undefined> {
    const kept = this.#kept.get(index);
    if (kept || this.#broken.has(index)) return kept;
    this.#begin([index]);
    return this.#begun.get(index);
  }

  /** Sends to the threads what is neither there nor on its way. */
  #begin(indices: Iterable<number>): void {
    const missing = new Set(indices);
    for (const index of missing) {
      if (this.#kept.has(index) || this.#broken.has(index) || this.#begun.has(index)) missing.delete(index);
    }
    const wanted = [...missing];
    for (let first = 0; first < wanted.length; first += TOGETHER) this.#ask(wanted.slice(first, first + TOGETHER));
  }

  #ask(indices: readonly number[]): void {
    const { paths, side, channels } = this.#options;
    if (this.#closed) throw new InternalError("images are asked for after their set was closed");
    this.#pool ??= this.#threads();
    const answers = this.#pool.run({ paths: indices.map((index) => paths[index]!), side, channels });
    for (const [k, index] of indices.entries()) {
      const image = answers.then((all) => this.#take(index, all[k]!)).finally(() => this.#begun.delete(index));
      // Whoever waits for the image hears of it.
      image.catch(() => {});
      this.#begun.set(index, image);
    }
  }

  #take(index: number, answer: Answer): Uint8Array | undefined {
    const { paths, skipBroken, skipped, log } = this.#options;
    if ("reason" in answer) {
      const path = paths[index]!;
      const reason = reasonOf(answer);
      this.#broken.set(index, reason);
      if (skipBroken) {
        skipped.push({ path, reason });
        log?.(`left out: ${path}: ${reason}`);
      }
      return undefined;
    }
    const { bytes } = answer;
    if (bytes.length <= this.#room) {
      this.#room -= bytes.length;
      this.#kept.set(index, bytes);
    }
    return bytes;
  }

  #threads(): Piscina<object, Answer[]> {
    const maxThreads = Math.max(1, this.#options.threads ?? Math.floor(availableParallelism() / 2));
    return new Piscina({
      filename: new URL("./decode-worker.mjs", import.meta.url).href,
      minThreads: maxThreads,
      maxThreads,
      // The next task lies ready in the thread, and one's reading overlaps with the other's work.
      concurrentTasksPerWorker: 2,
      // What starts this process otherwise (a loader, an inspector) is not for threads that only decode.
      execArgv: [],
    });
  }
}

/** A refusal as part of a sentence about a file. */
function reasonOf({ reason, system }: Refusal): string {
  if (system !== undefined) return systemReason(system) ?? reason;
  if (/is empty/.test(reason)) return "it is empty";
  if (/unsupported image format/.test(reason)) return "it is no image of a known kind, whatever its name says";
  return `it is damaged or cut short (${reason})`;
}
