import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fold, gridOf, groupsOf, uniformWords } from "../../src/program/grid.js";
import { tiny } from "./tiny.js";

describe("grids", () => {
  it("counts groups dimension by dimension, rounding up", () => {
    expect(groupsOf([[0, 10], 7], [4, 2], 3)).toBe(8 * 4);
    expect(groupsOf([0], [4], 3)).toBe(0);
  });

  it("folds into rows that the limit allows, with less than a row to spare", () => {
    expect(fold(65535)).toEqual({ groups: 65535, x: 65535, y: 1 });
    expect(fold(65536)).toEqual({ groups: 65536, x: 32768, y: 2 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 65535 * 65535 }), (groups) => {
        const { x, y } = fold(groups);
        expect(x <= 65535 && y <= 65535 && x * y >= groups && x * y - groups < y).toBe(true);
      }),
    );
    expect(() => fold(17, 4)).toThrow("17 workgroups do not fit into a grid of 4 x 4");
  });

  it("writes the header and the dispatch's own words", () => {
    const { program } = tiny();
    const dispatch = { ...program.entries[0]!.segments[0]!.dispatches[0]!, uniforms: [[0, 4], -1], extent: [80] };
    const kernel = program.kernels[0]!;
    const grid = gridOf(dispatch, kernel.variants[0]!, 3, 16);
    expect(grid).toEqual({ groups: 20, x: 10, y: 2 });
    expect([...uniformWords(dispatch, kernel, grid, 3)]).toEqual([0, 20, 10, 0, 12, 0xffffffff, 0, 0]);
  });
});
