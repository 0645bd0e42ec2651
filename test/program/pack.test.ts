import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Block, lowerBound, packIntervals } from "../../src/program/intervals.js";
import { livesOf, PackError, pack, peak } from "../../src/program/pack.js";
import type { Storage } from "../../src/program/program.js";
import { validateLayout } from "../../src/program/validate.js";
import { tiny } from "./tiny.js";

const block = fc
  .record({ size: fc.integer({ min: 1, max: 64 }), from: fc.nat(60), life: fc.nat(40) })
  .map(({ size, from, life }): Block => ({ bytes: size * 256, from, to: from + life }));

const together = (a: Block, b: Block) => a.from <= b.to && b.from <= a.to;

describe("packing blocks with lifetimes", () => {
  it("never lets two blocks that live together overlap, stays in its slabs, and never beats the bound", () => {
    fc.assert(
      fc.property(fc.array(block, { maxLength: 40 }), fc.constantFrom(64 * 256, 100 * 256, 1 << 30), (blocks, limit) => {
        const { slabs, offsets, sizes } = packIntervals(blocks, limit);
        for (const [i, a] of blocks.entries()) {
          expect(offsets[i]! + a.bytes).toBeLessThanOrEqual(sizes[slabs[i]!]!);
          expect(offsets[i]! % 256).toBe(0);
          for (let j = 0; j < i; j++) {
            const b = blocks[j]!;
            if (!together(a, b) || slabs[i] !== slabs[j]) continue;
            expect(offsets[i]! >= offsets[j]! + b.bytes || offsets[j]! >= offsets[i]! + a.bytes).toBe(true);
          }
        }
        expect(sizes.every((size) => size <= limit)).toBe(true);
        expect(sizes.reduce((a, b) => a + b, 0)).toBeGreaterThanOrEqual(lowerBound(blocks));
      }),
      { numRuns: 200 },
    );
  });

  it("comes close to the bound", () => {
    const ratios = fc.sample(fc.array(block, { minLength: 20, maxLength: 80 }), { numRuns: 60, seed: 7 }).map((blocks) => {
      return packIntervals(blocks).sizes.reduce((a, b) => a + b, 0) / lowerBound(blocks);
    });
    expect(Math.max(...ratios)).toBeLessThan(1.2);
    expect(ratios.reduce((a, b) => a + b) / ratios.length).toBeLessThan(1.05);
  });

  it("meets the bound on the shape of a training step: saved values die in reverse", () => {
    const blocks = Array.from({ length: 300 }, (_, i): Block => ({ bytes: 256 * (1 + (i % 7)), from: i, to: 600 - i }));
    expect(packIntervals(blocks).sizes).toEqual([lowerBound(blocks)]);
  });

  it("is deterministic", () => {
    const [blocks] = fc.sample(fc.array(block, { minLength: 50, maxLength: 50 }), { numRuns: 1, seed: 3 });
    expect(packIntervals(blocks!)).toEqual(packIntervals(structuredClone(blocks!)));
  });
});

describe("packing a program", () => {
  it("places what the entries touch, and nothing else", () => {
    const { program } = tiny();
    const layout = pack(program, 2, { entries: ["count"] });
    const placed = program.storages.filter((_, id) => layout.places[id]).map((storage) => storage.name);
    expect(placed).toEqual(["a", "step", "sum", "count.out"]);
    expect(peak(layout).byKind).toEqual({ parameter: 256, state: 512, output: 256 });
  });

  it("grows with the batch, and the peak is the slabs' sum", () => {
    const { program } = tiny();
    for (const batch of [1, 3, 64, 1000]) {
      const layout = pack(program, batch);
      expect(validateLayout(program, layout, batch)).toEqual([]);
      const { total, byKind } = peak(layout);
      expect(byKind.activation).toBe(Math.ceil((16 * batch) / 256) * 256);
      expect(Object.values(byKind).reduce((a, b) => a + b, 0)).toBe(total);
    }
  });

  it("gives weights, moments and EMA one layout, however few of them a set has", () => {
    const { program } = tiny();
    const names = ["frozen", "w0", "w1", "w2", "w3"];
    const sets = ["parameter", "moment1", "moment2", "ema"] as const;
    const storages: Storage[] = sets.flatMap((kind) =>
      names
        .filter((name) => kind === "parameter" || name !== "frozen")
        .map((name, i): Storage => ({ kind, name, bytes: 1000 + 700 * i })),
    );
    const segment = program.entries[0]!.segments[0]!;
    const all = {
      ...program,
      storages,
      entries: [
        {
          name: "all",
          inputs: [],
          outputs: [],
          segments: [{ ...segment, dispatches: [{ ...segment.dispatches[0]!, bindings: storages.map((_, id) => id) }] }],
        },
      ],
      profile: { ...program.profile, limits: { ...program.profile.limits, maxBufferSize: 8192 } },
    };
    const layout = pack(all, 1);
    const firstSlab = (kind: string) => layout.slabs.findIndex((slab) => slab.kind === kind);
    const at = (kind: string, name: string) => {
      const place = layout.places[storages.findIndex((s) => s.kind === kind && s.name === name)]!;
      return [place.slab - firstSlab(kind), place.offset];
    };
    for (const name of names.slice(1)) {
      expect(at("moment1", name)).toEqual(at("parameter", name));
      expect(at("moment2", name)).toEqual(at("parameter", name));
      expect(at("ema", name)).toEqual(at("parameter", name));
    }
    expect(layout.slabs.every((slab) => slab.bytes <= 8192)).toBe(true);
    expect(layout.slabs.filter((slab) => slab.kind === "parameter").length).toBe(2);
  });

  it("keeps a value that a repeated segment uses alive to the segment's end", () => {
    const { program } = tiny();
    const entry = program.entries[0]!;
    const [mul, add] = entry.segments[0]!.dispatches;
    const work = { macs: 0, flops: 0, read: 16, written: 16 };
    const copy = { kernel: 3, bindings: [6, 7], uniforms: [4], extent: [4], label: "copy", work };
    const repeated = {
      ...entry,
      segments: [
        { repeat: 1, dispatches: [mul!] },
        { repeat: 3, dispatches: [add!, copy, copy] },
      ],
    };
    expect(livesOf(program, repeated).get(3)).toEqual([0, 3]);
    expect(
      livesOf(program, {
        ...repeated,
        segments: [
          { repeat: 1, dispatches: [mul!] },
          { repeat: 1, dispatches: [add!, copy] },
        ],
      }).get(3),
    ).toEqual([0, 1]);
  });

  it("refuses what does not fit with the name, the figures and the limit", () => {
    const { program } = tiny();
    const limits = { maxStorageBufferBindingSize: 1024 };
    expect(() => pack(program, 100, { limits })).toThrow(
      'input "axpb.x" needs 1600 bytes at batch 100, maxStorageBufferBindingSize allows 1024; a smaller batch may fit',
    );
    expect(() => pack(program, 0)).toThrow("the batch is 0, expected a whole number from 1");
    expect(() => pack(program, 1, { entries: ["cuont"] })).toThrow(PackError);
  });
});
