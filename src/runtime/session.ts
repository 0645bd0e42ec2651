/**
 * A Program on a device: memory, pipelines and bind groups, made once by `createSession` and only used afterwards. No call after the
 * first step makes a buffer, a bind group or a pipeline.
 *
 * Calls that use the device run one after the other, in the order in which they were made, whether or not they are awaited.
 */
import { fromHalves, toHalves } from "../program/half.js";
import type { MemoryPlan } from "../program/memory.js";
import type { Layout } from "../program/pack.js";
import type { Bundle, Program, ScalarType } from "../program/program.js";
import { evaluate } from "../program/size.js";
import type { Writer } from "./buffers.js";
import type { VariantChoice } from "./device.js";
import { DitRuntimeError, suggestion } from "./errors.js";
import type { Guard } from "./guard.js";
import {
  bytesOf,
  checkInputs,
  elementsOf,
  fromBytes,
  type InputData,
  type Inputs,
  type Outputs,
  type TypedArray,
} from "./inputs.js";
import { type Target, targetsOf } from "./names.js";
import { prepare } from "./prepare.js";
import type { Piece, Readback } from "./readback.js";
import type { RecordedSegment, Runner, Timestamps } from "./runner.js";

export interface SessionOptions {
  /** Default: the batch that the program was compiled for. */
  readonly batch?: number | undefined;
  /** Which entries to load; memory is taken for these alone. Default: all. */
  readonly entries?: readonly string[] | undefined;
  /** Hears which variant of each kernel was taken, and how much memory. */
  readonly log?: ((line: string) => void) | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Bytes of GPU memory that the plan may take; above it nothing is allocated. */
  readonly memoryLimit?: number | undefined;
  /** About how long a submit may keep the device; default: one submit a step. A browser is well served with 12. */
  readonly submitBudgetMs?: number | undefined;
  /** Called once when the session is disposed; for whoever made the device for it. */
  readonly onDispose?: (() => void) | undefined;
}

export interface Progress {
  readonly stage: "files" | "pipelines" | "weights";
  readonly done: number;
  readonly total: number;
}

export interface StepOptions {
  /** After each round of a repeated segment, when it is done on the device. */
  readonly onStep?: ((done: number, total: number) => void) | undefined;
  /** Stops between two rounds (with a submit budget: between two submits); the call then rejects. */
  readonly signal?: AbortSignal | undefined;
}

/** A look at tensors while an entry is at work, like `sample.x0`, the picture that sampling is heading for. */
export interface Look {
  /** After every so many rounds, or as soon after as an earlier look is over; never after the last, when all is there to be read. */
  readonly every: number;
  readonly names: readonly string[];
  /** Gets them as they are between two rounds, that one or a later one; `repeat` waits for what it gives back. */
  readonly see: (outputs: Outputs) => void | Promise<void>;
}

/** Runs an entry of a session, as `submit` does, in some way of its own: held against a reference, say. */
export type Through = (session: Session, entry: string, inputs: Inputs) => Promise<void>;

/** What `prepare` makes and the session uses. */
export interface Prepared {
  readonly program: Program;
  readonly layout: Layout;
  readonly guard: Guard;
  readonly slabs: readonly GPUBuffer[];
  readonly entries: ReadonlyMap<string, readonly RecordedSegment[]>;
  readonly runner: Runner;
  readonly readback: Readback;
  readonly writer: Writer;
  readonly variants: readonly VariantChoice[];
  readonly memory: MemoryPlan;
  readonly release: () => void;
}

/** Checks the bundle, plans memory, and makes everything that a run will use. Throws `DitRuntimeError`. */
export async function createSession(bundle: Bundle, device: GPUDevice, options: SessionOptions = {}): Promise<Session> {
  return new Session(await prepare(bundle, device, options), device);
}

export class Session {
  readonly device: GPUDevice;
  readonly program: Program;
  readonly batch: number;
  readonly layout: Layout;
  readonly memory: MemoryPlan;
  /** Which variant of each kernel runs, and why. */
  readonly variants: readonly VariantChoice[];
  readonly #parts: Prepared;
  readonly #targets: ReadonlyMap<string, Target>;
  /** Entries whose inputs have been written. */
  readonly #fed = new Set<string>();
  #queue: Promise<unknown> = Promise.resolve();
  #disposed = false;

  constructor(parts: Prepared, device: GPUDevice) {
    this.device = device;
    this.program = parts.program;
    this.layout = parts.layout;
    this.batch = parts.layout.batch;
    this.memory = parts.memory;
    this.variants = parts.variants;
    this.#parts = parts;
    this.#targets = targetsOf(parts.program, parts.layout);
  }

  /** Every name that `write` and `read` know. */
  get names(): string[] {
    return [...this.#targets.keys()];
  }

  /** Size of a tensor that `write` and `read` know, as callers see it: f32 also where it is stored in f16. */
  bytesOf(name: string): number {
    const { storage, half } = this.#target(name);
    return this.#storedBytes(storage) * (half ? 2 : 1);
  }

  /**
   * Writes a whole persistent tensor: "<key>" or "p.<key>" (weights), "m.<key>", "v.<key>" (moments), "ema.<key>", a state or a
   * constant by its name. `data` has the tensor's bytes, in row-major order.
   */
  write(name: string, data: InputData): Promise<void> {
    return this.#inTurn(async () => {
      const target = this.#target(name);
      const array = Array.isArray(data) ? arrayFor(target.dtype, data as readonly (number | boolean)[]) : (data as TypedArray);
      const expected = this.bytesOf(name);
      if (target.dtype === "f32" && !(array instanceof Float32Array || array instanceof Uint16Array)) {
        throw new DitRuntimeError("DIT6004", `"${name}" holds f32, found a ${array.constructor.name}`, "give a Float32Array");
      }
      if (array.byteLength !== expected) {
        const each = array.BYTES_PER_ELEMENT;
        throw new DitRuntimeError("DIT6004", `"${name}" has ${expected / each} elements, found ${array.length}`);
      }
      await this.#writeTo(target, 0, bytesOf(array));
    });
  }

  /**
   * Writes some bytes of a persistent tensor, for weights that arrive in pieces: at a multiple of 4, and where it is stored in f16 whole
   * pairs of numbers, which are a word there; but the last may be single.
   */
  writeBytes(name: string, offset: number, bytes: Uint8Array): Promise<void> {
    return this.#inTurn(() => {
      const target = this.#target(name);
      const size = this.bytesOf(name);
      const unit = target.half ? 8 : 4;
      const end = offset + bytes.length;
      if (offset % unit !== 0 || (target.half && bytes.length % unit !== 0 && end !== size) || offset < 0 || end > size) {
        throw new DitRuntimeError(
          "DIT6004",
          `"${name}" has ${size} bytes; ${bytes.length} at byte ${offset} do not fit or are not aligned`,
        );
      }
      return this.#writeTo(target, offset, bytes);
    });
  }

  #writeTo({ storage, half }: Target, offset: number, bytes: Uint8Array): Promise<void> {
    return half ? this.#writeBytes(storage, offset / 2, toHalves(bytes)) : this.#writeBytes(storage, offset, bytes);
  }

  /** Reads tensors by the names of `write`; outputs are there as "<entry>.<output>" until the entry runs again. */
  read(names: readonly string[]): Promise<Outputs> {
    return this.#inTurn(() => this.#readNow(names));
  }

  async #readNow(names: readonly string[]): Promise<Outputs> {
    const targets = names.map((name) => this.#target(name));
    const bytes = await this.#readPieces(targets.map(({ storage }) => this.#piece(storage, this.#storedBytes(storage))));
    const read = (i: number): TypedArray => {
      const [{ dtype, half }, count] = [targets[i]!, this.bytesOf(names[i]!) / 4];
      return half ? fromHalves(bytes[i]!, count) : fromBytes(dtype, bytes[i]!, count);
    };
    return Object.fromEntries(names.map((name, i) => [name, read(i)]));
  }

  #storedBytes(storage: number): number {
    return evaluate(this.program.storages[storage]!.bytes, this.batch);
  }

  /** The bytes of any storage as they are now; for tools that check a run. Activations share memory: see `submit`'s `until`. */
  async readStorage(storage: number): Promise<ArrayBuffer> {
    const bytes = this.layout.places[storage] ? this.#storedBytes(storage) : 0;
    return (await this.readParts([{ storage, offset: 0, bytes: Math.ceil(bytes / 4) * 4 }]))[0]!;
  }

  /** Some of the bytes of storages; offsets and sizes are multiples of 4. */
  readParts(
    parts: readonly { readonly storage: number; readonly offset: number; readonly bytes: number }[],
  ): Promise<ArrayBuffer[]> {
    return this.#inTurn(() => {
      const pieces = parts.map(({ storage, offset, bytes }): Piece => {
        // A part that no dispatch binds has a place in its whole.
        const { within } = this.program.storages[storage]!;
        const own = this.layout.places[storage];
        const place = own ?? (within && this.layout.places[within.storage]);
        if (!place) throw new DitRuntimeError("DIT6004", `storage ${storage} is not part of the loaded entries`);
        const from = place.offset + (own || !within ? 0 : evaluate(within.offset, this.batch));
        return { buffer: this.#parts.slabs[place.slab]!, offset: from + offset, bytes };
      });
      return this.#readPieces(pieces);
    });
  }

  /** Writes an entry's inputs and runs nothing: the first part of `submit`. */
  feed(entry: string, inputs: Inputs): Promise<void> {
    return this.#inTurn(async () => {
      await this.#feed(entry, inputs);
    });
  }

  /** Runs an entry and reads its outputs. One submit, unless there is a submit budget or an `onStep` or `signal` is given. */
  run(entry: string, inputs: Inputs = {}, options: StepOptions = {}): Promise<Outputs> {
    return this.#inTurn(async () => {
      const { readback, runner, guard } = this.#parts;
      const { outputs } = this.#entry(entry);
      const segments = await this.#feed(entry, inputs);
      const counts = outputs.map((port) => elementsOf(port, this.batch));
      const pieces = outputs.map((port, i) => this.#piece(port.storage, counts[i]! * 4));
      const rounds = readback.rounds(pieces);
      const tail = (encoder: GPUCommandEncoder) => readback.encode(encoder, pieces, rounds[0]!);
      await runner.run(entry, segments, { ...options, tail });
      const bytes = await readback.read(pieces, rounds, "encoded");
      guard.check();
      return Object.fromEntries(outputs.map((port, i) => [port.name, fromBytes(port.dtype, bytes[i]!, counts[i]!)]));
    });
  }

  /**
   * Runs an entry without reading anything back; resolves when it is submitted. Without inputs the last ones are used again.
   * `from` and `until` run a part: from the dispatch of that position in the entry's flat list, and up to before it, so that what lies
   * in memory between two dispatches can be looked at; of a repeated segment, its first round. `timestamps` times each dispatch.
   */
  submit(
    entry: string,
    inputs?: Inputs,
    part: { readonly from?: number; readonly until?: number; readonly timestamps?: Timestamps } = {},
  ): Promise<void> {
    return this.#inTurn(async () => {
      const segments = await this.#feed(entry, inputs);
      const { timestamps } = part;
      const whole = part.from === undefined && part.until === undefined;
      await this.#parts.runner.run(entry, whole ? segments : partOf(segments, part), { timestamps });
    });
  }

  /** Runs an entry with repeated segments round by round, reading back only for a `look`; resolves when it is done on the device. */
  repeat(entry: string, inputs?: Inputs, options: StepOptions & { readonly look?: Look | undefined } = {}): Promise<void> {
    return this.#inTurn(async () => {
      const segments = await this.#feed(entry, inputs);
      const { look } = options;
      let looking: Promise<void> | undefined;
      let failure: { readonly error: unknown } | undefined;
      let next = look?.every ?? 0;
      const onStep = (done: number, total: number) => {
        options.onStep?.(done, total);
        // Several rounds may have gone by in one submit.
        if (!look || looking || done < next || done === total) return;
        next = done - (done % look.every) + look.every;
        looking = this.#readNow(look.names)
          .then(look.see)
          .catch((error: unknown) => {
            failure = { error };
          })
          .finally(() => {
            looking = undefined;
          });
      };
      await this.#parts.runner.run(entry, segments, { signal: options.signal, onStep });
      await this.#parts.runner.idle();
      await looking;
      if (failure) throw failure.error;
    });
  }

  /** Resolves when the device has done all that it was given. */
  idle(): Promise<void> {
    return this.#inTurn(() => this.#parts.runner.idle());
  }

  /** Gives all GPU memory back; calls that wait for their turn reject. The device stays the caller's. */
  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#parts.release();
  }

  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(async () => {
      if (this.#disposed) throw new DitRuntimeError("DIT6008", "this session is disposed");
      this.#parts.guard.check();
      return this.#parts.guard.settle(task());
    });
    this.#queue = turn.catch(() => {});
    return turn;
  }

  #target(name: string): Target {
    const target = this.#targets.get(name);
    if (target) return target;
    throw new DitRuntimeError("DIT6004", `the loaded entries have no tensor "${name}"`, suggestion(name, this.names));
  }

  #entry(name: string) {
    const entry = this.program.entries.find((candidate) => candidate.name === name);
    if (entry && this.layout.entries.includes(name)) return entry;
    const message = entry ? `entry "${name}" is not loaded` : `there is no entry "${name}"`;
    throw new DitRuntimeError("DIT6004", message, suggestion(name, this.layout.entries));
  }

  async #feed(name: string, inputs: Inputs | undefined): Promise<readonly RecordedSegment[]> {
    const entry = this.#entry(name);
    if (inputs !== undefined || !this.#fed.has(name)) {
      for (const { storage, bytes } of checkInputs(entry, inputs ?? {}, this.batch)) await this.#writeBytes(storage, 0, bytes);
      this.#fed.add(name);
    }
    return this.#parts.entries.get(name)!;
  }

  #writeBytes(storage: number, offset: number, bytes: Uint8Array): Promise<void> {
    const place = this.layout.places[storage]!;
    return this.#parts.writer.write(this.#parts.slabs[place.slab]!, place.offset + offset, bytes);
  }

  #piece(storage: number, bytes: number): Piece {
    const place = this.layout.places[storage]!;
    return { buffer: this.#parts.slabs[place.slab]!, offset: place.offset, bytes: Math.ceil(bytes / 4) * 4 };
  }

  #readPieces(pieces: readonly Piece[]): Promise<ArrayBuffer[]> {
    return this.#parts.readback.read(pieces, this.#parts.readback.rounds(pieces), "not yet");
  }
}

function arrayFor(dtype: ScalarType, values: readonly (number | boolean)[]): TypedArray {
  const numbers = values.map(Number);
  return dtype === "f32" ? Float32Array.from(numbers) : dtype === "i32" ? Int32Array.from(numbers) : Uint32Array.from(numbers);
}

/** The first round of each segment, between two positions of the flat list. */
function partOf(
  segments: readonly RecordedSegment[],
  { from = 0, until = Number.POSITIVE_INFINITY }: { readonly from?: number; readonly until?: number },
): RecordedSegment[] {
  let position = 0;
  return segments.map((segment) => {
    const [first, end] = [Math.max(0, from - position), Math.max(0, until - position)];
    position += segment.steps.length;
    return { repeat: 1, steps: segment.steps.slice(first, end), costs: segment.costs.slice(first, end) };
  });
}
