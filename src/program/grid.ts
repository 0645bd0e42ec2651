/**
 * From a dispatch's extent to a grid of workgroups: the one place where grids are counted and folded.
 *
 * A kernel numbers its workgroups linearly, whatever their grid looks like: WebGPU allows only 65,535 groups in a dimension, so a
 * longer row is folded into several, and the header words tell the kernel how (see `Kernel` in program.ts).
 */
import type { Dispatch, Kernel, Program, Variant } from "./program.js";
import { evaluate, type Size } from "./size.js";

/** Words that every kernel's uniform begins with. */
export const HEADER_WORDS = 4;
/** What every WebGPU device allows in one dimension. */
export const GROUPS_PER_DIMENSION = 65535;

export interface Grid {
  /** Workgroups that have something to do; x * y may be a few more. */
  readonly groups: number;
  readonly x: number;
  readonly y: number;
}

/** Π ceil(extent / tile). */
export function groupsOf(extent: readonly Size[], tile: readonly number[], batch: number): number {
  return extent.reduce((groups: number, size, i) => groups * Math.ceil(evaluate(size, batch) / (tile[i] ?? 1)), 1);
}

/** Rows of equal length, as few as the limit allows: at most `y - 1` groups too many. */
export function fold(groups: number, limit: number = GROUPS_PER_DIMENSION): Grid {
  const y = Math.max(1, Math.ceil(groups / limit));
  if (y > limit) throw new RangeError(`${groups} workgroups do not fit into a grid of ${limit} x ${limit}`);
  return { groups, x: Math.ceil(groups / y), y };
}

/** The grid of a dispatch when `variant` runs it. */
export const gridOf = (dispatch: Dispatch, variant: Variant, batch: number, limit: number = GROUPS_PER_DIMENSION): Grid =>
  fold(groupsOf(dispatch.extent, variant.tile, batch), limit);

/**
 * The words of a dispatch's uniform: [first group, end, groups per row, 0], then its own. `end` is one past the last group, so
 * that a slice of a dispatch is another header and nothing else; here the first is 0 and `end` the number of groups.
 */
export function uniformWords(dispatch: Dispatch, kernel: Kernel, grid: Grid, batch: number): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(kernel.words);
  words.set([0, grid.groups, grid.x, 0]);
  // A Uint32Array takes numbers modulo 2^32, so a negative word arrives as the i32 it is.
  words.set(
    dispatch.uniforms.map((size) => evaluate(size, batch)),
    HEADER_WORDS,
  );
  return words;
}

/** The limit that a program's grids are folded at: the smaller of its profile's and a device's. */
export const rowLimit = (program: Program, limits: Readonly<Record<string, number>> = {}): number =>
  Math.min(
    program.profile.limits.maxComputeWorkgroupsPerDimension ?? GROUPS_PER_DIMENSION,
    limits.maxComputeWorkgroupsPerDimension ?? GROUPS_PER_DIMENSION,
  );
