// What test/null/races.ts says of accesses is what wgsl_reflect says of them, which holds each against each other.
import fc from "fast-check";
import { expect, test } from "vitest";
import { MemoryTracker } from "wgsl_reflect/wgsl_reflect.module.js";
import { compareEach, racesIn, recordEach } from "./races.js";

/** Few of everything, so that a good part of the logs has a race and a good part has none. */
const access = fc.record({
  invocation: fc.nat(2),
  buffer: fc.constantFrom("x", "y"),
  word: fc.nat(9),
  words: fc.integer({ min: 1, max: 3 }),
  kind: fc.oneof({ weight: 3, arbitrary: fc.constant("read" as const) }, { weight: 1, arbitrary: fc.constant("write" as const) }),
});
const phases = fc.array(fc.array(access, { maxLength: 7 }), { minLength: 1, maxLength: 4 });
type Access = typeof access extends fc.Arbitrary<infer T> ? T : never;

/** In each phase, whether there is a race: with a tracker of its own for those before it, so that none is overlooked behind another. */
function verdicts(log: readonly (readonly Access[])[], record: typeof recordEach, endPhase: typeof compareEach): boolean[] {
  return log.map((_, last) => {
    const tracker = new MemoryTracker();
    let before = 0;
    for (const phase of log.slice(0, last + 1)) {
      before = tracker.races.length;
      for (const { invocation, buffer, word, words, kind } of phase) {
        tracker.currentInvocation = invocation;
        record.call(tracker, buffer, 4 * word, 4 * words, kind, false);
      }
      endPhase.call(tracker);
    }
    return tracker.races.length > before;
  });
}

test("a phase has a race where the detector's own comparison of all accesses finds one", () => {
  const seen = [0, 0];
  fc.assert(
    fc.property(phases, (log) => {
      // Told are the first few of a tracker alone: what comes after a race is not asked for.
      const theirs = verdicts(log, recordEach, compareEach);
      const upTo = theirs.includes(true) ? theirs.indexOf(true) + 1 : theirs.length;
      const { record, endPhase } = MemoryTracker.prototype;
      expect(verdicts(log.slice(0, upTo), record, endPhase)).toEqual(theirs.slice(0, upTo));
      for (const verdict of theirs.slice(0, upTo)) seen[Number(verdict)]! += 1;
    }),
    { numRuns: 2000 },
  );
  expect(Math.min(...seen)).toBeGreaterThan(300);
});

const kernel = (body: string): string => `
@group(0) @binding(0) var<storage, read_write> data: array<f32>;
var<workgroup> tile: array<f32, 8>;
@compute @workgroup_size(8)
fn main(@builtin(local_invocation_index) lid: u32) {
  ${body}
}`;

test.each([
  ["each its own", "tile[lid] = data[lid]; data[lid] = tile[lid];", 0],
  ["another's behind a barrier", "tile[lid] = data[lid]; workgroupBarrier(); data[lid] = tile[7u - lid];", 0],
  ["another's without", "tile[lid] = data[lid]; data[lid] = tile[7u - lid];", 1],
  ["written again before all have read", "tile[lid] = 1.0; workgroupBarrier(); data[lid] = tile[7u - lid]; tile[lid] = 2.0;", 1],
  ["all read one", "tile[lid] = 1.0; workgroupBarrier(); data[lid] = tile[0];", 0],
  ["all write one", "tile[0] = 1.0;", 1],
  ["in memory that is not the workgroup's", "data[lid] = 1.0; tile[lid] = data[7u - lid];", 1],
])("%s", (_, body, races) => {
  const found = racesIn(kernel(body), [new Float32Array(8)]);
  expect(found.filter((message) => message.startsWith("Data race")).length > 0).toBe(races > 0);
  expect(found.filter((message) => !message.startsWith("Data race"))).toEqual([]);
});

test("a barrier that some do not reach", () => {
  expect(racesIn(kernel("if (lid < 4u) { workgroupBarrier(); }"), [new Float32Array(8)]).join()).toContain("Barrier divergence");
});
