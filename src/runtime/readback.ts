/**
 * Brings bytes back from the GPU through one staging buffer, which is made once and never larger than a few MiB: what does not fit
 * comes in rounds. A round is two halves, so that its copies can ride in the submit that computes what they copy.
 */
import { usage } from "./buffers.js";
import type { Guard } from "./guard.js";

/** GPUMapMode.READ */
const MAP_READ = 1;

export interface Piece {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  /** A multiple of 4. */
  readonly bytes: number;
}

interface Copy {
  readonly piece: number;
  readonly from: number;
  readonly staged: number;
  readonly into: number;
  readonly bytes: number;
}

export type Round = readonly Copy[];

export class Readback {
  readonly bytes: number;
  readonly #device: GPUDevice;
  readonly #guard: Guard;
  readonly #staging: GPUBuffer;

  constructor(device: GPUDevice, guard: Guard, bytes: number) {
    this.bytes = Math.ceil(bytes / 256) * 256;
    this.#device = device;
    this.#guard = guard;
    this.#staging = device.createBuffer({ label: "staging", size: this.bytes, usage: usage.mapRead | usage.copyTarget });
  }

  /** Cuts pieces into rounds that fit. */
  rounds(pieces: readonly Piece[]): Round[] {
    const rounds: Copy[][] = [[]];
    let used = 0;
    pieces.forEach((piece, i) => {
      for (let into = 0; into < piece.bytes; ) {
        if (used === this.bytes) {
          rounds.push([]);
          used = 0;
        }
        const bytes = Math.min(piece.bytes - into, this.bytes - used);
        rounds.at(-1)!.push({ piece: i, from: piece.offset + into, staged: used, into, bytes });
        into += bytes;
        used += bytes;
      }
    });
    return rounds;
  }

  /** First half: the copies, into an encoder that is submitted next. */
  encode(encoder: GPUCommandEncoder, pieces: readonly Piece[], round: Round): void {
    for (const copy of round) {
      encoder.copyBufferToBuffer(pieces[copy.piece]!.buffer, copy.from, this.#staging, copy.staged, copy.bytes);
    }
  }

  /** Second half: waits for the copies and puts them where they belong. */
  async collect(targets: readonly ArrayBuffer[], round: Round): Promise<void> {
    const last = round.at(-1);
    if (!last) return;
    const size = last.staged + last.bytes;
    await this.#guard.settle(this.#staging.mapAsync(MAP_READ, 0, size));
    const staged = new Uint8Array(this.#staging.getMappedRange(0, size));
    for (const copy of round) {
      new Uint8Array(targets[copy.piece]!, copy.into, copy.bytes).set(staged.subarray(copy.staged, copy.staged + copy.bytes));
    }
    this.#staging.unmap();
    // A lost device may resolve a mapping with zeros.
    this.#guard.check();
  }

  /** All pieces; `first` says whether the first round's copies are already on their way. */
  async read(pieces: readonly Piece[], rounds: readonly Round[], first: "encoded" | "not yet"): Promise<ArrayBuffer[]> {
    const targets = pieces.map((piece) => new ArrayBuffer(piece.bytes));
    for (const [i, round] of rounds.entries()) {
      if (i > 0 || first === "not yet") {
        const encoder = this.#device.createCommandEncoder({ label: "readback" });
        this.encode(encoder, pieces, round);
        this.#device.queue.submit([encoder.finish()]);
      }
      await this.collect(targets, round);
    }
    return targets;
  }

  dispose(): void {
    this.#staging.destroy();
  }
}
