/**
 * GPU memory of a session: one buffer a slab, one for all uniforms, and writes into them in bounded pieces.
 */
import { UNIFORM_ALIGNMENT } from "../program/memory.js";
import type { Layout } from "../program/pack.js";
import { binarySize } from "./errors.js";
import type { Guard } from "./guard.js";

/** GPUBufferUsage; the named constants are globals only in browsers. */
export const usage = { mapRead: 1, copySource: 4, copyTarget: 8, uniform: 0x40, storage: 0x80 } as const;

/** A queue copies what it is given to write; more than this at once would double a large weight in memory. */
const PIECE_BYTES = 4 << 20;
/** Written but perhaps not yet copied: where a writer waits for the device. */
const PENDING_BYTES = 32 << 20;

/** A buffer for each slab, all or none: when the driver refuses one, the others are given back. */
export async function allocateSlabs(device: GPUDevice, guard: Guard, layout: Layout): Promise<GPUBuffer[]> {
  const buffers: GPUBuffer[] = [];
  try {
    for (const [i, { kind, bytes }] of layout.slabs.entries()) {
      const what = `slab ${i}, ${binarySize(bytes)} for kind ${kind}`;
      const descriptor = { label: `${kind} ${i}`, size: bytes, usage: usage.storage | usage.copySource | usage.copyTarget };
      await guard.scoped(what, () => {
        buffers.push(device.createBuffer(descriptor));
      });
    }
  } catch (error) {
    for (const buffer of buffers) buffer.destroy();
    throw error;
  }
  return buffers;
}

/** The words of all dispatches in one buffer, each at a 256-aligned slot, written once. */
export async function writeUniforms(
  device: GPUDevice,
  guard: Guard,
  slots: readonly Uint32Array<ArrayBuffer>[],
): Promise<{ buffer: GPUBuffer; offsets: readonly number[] }> {
  const offsets: number[] = [];
  let size = 0;
  for (const words of slots) {
    offsets.push(size);
    size += Math.ceil(words.byteLength / UNIFORM_ALIGNMENT) * UNIFORM_ALIGNMENT;
  }
  const all = new Uint32Array(Math.max(size, UNIFORM_ALIGNMENT) / 4);
  slots.forEach((words, i) => {
    all.set(words, offsets[i]! / 4);
  });
  const descriptor = { label: "uniforms", size: all.byteLength, usage: usage.uniform | usage.copyTarget };
  const buffer = await guard.scoped("the uniforms", () => device.createBuffer(descriptor));
  await new Writer(device, guard).write(buffer, 0, new Uint8Array(all.buffer));
  return { buffer, offsets };
}

/** Writes bytes in pieces, and waits for the device when much is on the way. */
export class Writer {
  readonly #device: GPUDevice;
  readonly #guard: Guard;
  #pending = 0;

  constructor(device: GPUDevice, guard: Guard) {
    this.#device = device;
    this.#guard = guard;
  }

  /** `offset` is a multiple of 4; a last odd half word is filled up with zeros. */
  async write(buffer: GPUBuffer, offset: number, bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      const piece = writable(bytes.subarray(at, Math.min(bytes.length, at + PIECE_BYTES)));
      this.#device.queue.writeBuffer(buffer, offset + at, piece);
      this.#pending += piece.length;
      if (this.#pending >= PENDING_BYTES) await this.#drain();
    }
  }

  async #drain(): Promise<void> {
    this.#pending = 0;
    // An empty submit makes the queue begin with what it was given to write.
    this.#device.queue.submit([]);
    await this.#guard.settle(this.#device.queue.onSubmittedWorkDone());
  }
}

/** Whole words in an ArrayBuffer: a queue takes neither odd lengths nor shared memory. */
function writable(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  if (bytes.length % 4 === 0 && bytes.buffer instanceof ArrayBuffer) return bytes as Uint8Array<ArrayBuffer>;
  const copy = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  copy.set(bytes);
  return copy;
}
