/**
 * All GPU memory that a session takes: the slabs of its layout, the uniforms of its dispatches, and the staging buffer. The compiler
 * holds it against `--memory` when it fits a program, the runtime against a limit before it allocates: the same bytes.
 */
import { type Layout, peak } from "./pack.js";
import type { Program, StorageKind } from "./program.js";

export interface MemoryPlan {
  readonly total: number;
  readonly byKind: Readonly<Partial<Record<StorageKind, number>>>;
  readonly uniforms: number;
  readonly staging: number;
}

/** Uniform offsets are multiples of this on every device. */
export const UNIFORM_ALIGNMENT = 256;
/** The staging buffer's least and largest size: what is read back in one go. */
const STAGING_LEAST = 64 << 10;
const STAGING_MOST = 8 << 20;

export function memoryPlan(program: Pick<Program, "entries" | "kernels">, layout: Layout): MemoryPlan {
  const { total, byKind } = peak(layout);
  const served = program.entries.filter(({ name }) => layout.entries.includes(name));
  const dispatches = served.flatMap(({ segments }) => segments.flatMap((segment) => segment.dispatches));
  const taken = dispatches
    .map(({ kernel }) => Math.ceil((program.kernels[kernel]!.words * 4) / UNIFORM_ALIGNMENT) * UNIFORM_ALIGNMENT)
    .reduce((a, n) => a + n, 0);
  const uniforms = Math.max(taken, UNIFORM_ALIGNMENT);
  const staging = Math.min(STAGING_MOST, Math.max(STAGING_LEAST, ...layout.slabs.map((slab) => slab.bytes)));
  return { total: total + uniforms + staging, byKind, uniforms, staging };
}
