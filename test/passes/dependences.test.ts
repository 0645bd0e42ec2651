/** The bookkeeping of fuse against the plain way: walk the graph of groups. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { Dependences } from "../../src/passes/fuse/dependences.js";

const size = 24;
const nodes = fc.array(fc.array(fc.nat(size - 1), { maxLength: 3 }), { minLength: 2, maxLength: size });
const wishes = fc.array(fc.tuple(fc.nat(size - 1), fc.nat(size - 1)), { maxLength: 40 });

test("what a group needs, while groups merge", () => {
  fc.assert(
    fc.property(nodes, wishes, (reads, merges) => {
      const dependences = new Dependences(size);
      const groupOf = reads.map((_, i) => i);
      const sources = reads.map((list, i) => (i === 0 ? [] : list.map((j) => j % i)));
      const alive = () => [...new Set(groupOf)];
      const direct = (g: number) =>
        new Set(sources.flatMap((list, i) => (groupOf[i] === g ? list.map((j) => groupOf[j]!) : [])).filter((h) => h !== g));
      const reached = (g: number, seen = new Set<number>()): Set<number> => {
        for (const h of direct(g)) {
          if (seen.has(h)) continue;
          seen.add(h);
          reached(h, seen);
        }
        return seen;
      };
      const indirect = (a: number, b: number) => [...direct(a)].some((h) => h !== b && reached(h).has(b));

      for (const list of sources) dependences.open(list);
      for (const [x, y] of merges) {
        const [a, b] = [groupOf[x % reads.length]!, groupOf[y % reads.length]!];
        if (a === b || indirect(a, b) || indirect(b, a)) continue;
        dependences.merge(a, b);
        groupOf.forEach((g, i) => {
          if (g === b) groupOf[i] = a;
        });
        for (const g of alive()) {
          const needs = reached(g);
          for (const h of alive()) if (h !== g) expect(dependences.has(g, h)).toBe(needs.has(h));
        }
      }
    }),
    { numRuns: 300 },
  );
});
