/**
 * The blocks of a transformer, found again in the straight line of its nodes: a run that is repeated with nothing changed but the number in
 * its parameters' names ("blocks.3."), each reading what the one before it made. It becomes one function and a loop.
 */
import type { Fn, Node, Value } from "../../ir/graph.js";

export interface Repeat {
  /** "blocks" */
  readonly name: string;
  readonly count: number;
  /** First node of the first block, and nodes a block. */
  readonly start: number;
  readonly length: number;
  /** What goes from block to block: given to the first, and made by a block for the next one. */
  readonly carried: readonly { readonly first: Value; readonly made: Value; readonly last: Value }[];
  /** What every block reads from before the first. */
  readonly shared: readonly Value[];
}

export function findRepeat(fn: Fn): Repeat | undefined {
  const parameters = new Map(fn.params.filter((p) => p.kind === "parameter").map((p) => [p.value, p.name]));
  const numbered = (name: string) => /^([^.]+)\.(\d+)\.(.+)$/.exec(name);
  const name = [...parameters.values()].map((p) => numbered(p)?.[1]).find((found) => found !== undefined);
  if (name === undefined) return undefined;
  const blockOf = (value: Value): number | undefined => {
    const match = numbered(parameters.get(value) ?? "");
    return match?.[1] === name ? Number(match[2]) : undefined;
  };
  const anchors: number[] = [];
  fn.nodes.forEach((node, at) => {
    for (const value of node.inputs) {
      const block = blockOf(value);
      if (block !== undefined) anchors[block] ??= at;
    }
  });
  const count = anchors.length;
  const length = anchors[1]! - anchors[0]!;
  if (count < 2 || !anchors.every((at, i) => at === anchors[0]! + i * length)) return undefined;
  const alike = (a: Node | undefined, b: Node | undefined): boolean =>
    a !== undefined && b !== undefined && shapeOf(a) === shapeOf(b);
  const everywhere = (at: number): boolean =>
    Array.from({ length: count - 1 }, (_, i) => alike(fn.nodes[at], fn.nodes[at + (i + 1) * length])).every(Boolean);
  let start = anchors[0]!;
  while (start > anchors[0]! - length + 1 && everywhere(start - 1)) start--;
  for (let at = start; at < start + length; at++) if (!everywhere(at)) return undefined;
  return wired(fn, { name, count, start, length }, parameters);
}

const shapeOf = ({ op, attrs, outputs, loc }: Node): string => JSON.stringify([op, attrs, outputs.map((v) => v.type), loc]);

/** Follows what each block reads. Undefined: two blocks read differently. */
function wired(
  fn: Fn,
  run: Pick<Repeat, "name" | "count" | "start" | "length">,
  parameters: ReadonlyMap<Value, string>,
): Repeat | undefined {
  const { name, count, start, length } = run;
  const at = new Map<Value, number>();
  fn.nodes.forEach((node, i) => {
    for (const value of node.outputs) at.set(value, i);
  });
  const carried = new Map<number, Value>();
  const shared = new Set<Value>();
  for (let k = 0; k < length; k++) {
    const nodes = Array.from({ length: count }, (_, i) => fn.nodes[start + i * length + k]!);
    for (let input = 0; input < nodes[0]!.inputs.length; input++) {
      const read = nodes.map((node) => node.inputs[input]!);
      const names = read.map((value, i) => parameters.get(value)?.replace(`${name}.${i}.`, `${name}.#.`));
      if (names[0] !== undefined) {
        if (names.some((other) => other !== names[0])) return undefined;
        continue;
      }
      if (read.every((value) => value === read[0])) {
        shared.add(read[0]!);
        continue;
      }
      const places = read.map((value, i) => (at.get(value) ?? -1) - (start + i * length));
      if (places.every((place) => place === places[0]) && places[0]! >= 0) continue;
      // From the block before: at the same place in it, a whole block earlier.
      const from = places[1]! + length;
      if (places.slice(1).some((place) => place !== places[1]) || from < 0 || from >= length) return undefined;
      if ((carried.get(from) ?? read[0]) !== read[0] || places[0]! >= 0) return undefined;
      carried.set(from, read[0]!);
    }
  }
  const value = (block: number, place: number): Value => fn.nodes[start + block * length + place]!.outputs[0]!;
  const found = [...carried].map(([place, first]) => ({ first, made: value(0, place), last: value(count - 1, place) }));
  // Afterwards only what goes from block to block may be read, of the last one.
  const open = new Set(found.map(({ last }) => last));
  const inside = new Set(fn.nodes.slice(start, start + count * length).flatMap((node) => node.outputs));
  const later = [...fn.nodes.slice(start + count * length).flatMap((node) => node.inputs), ...fn.results.map((r) => r.value)];
  if (later.some((v) => inside.has(v) && !open.has(v))) return undefined;
  return found.length === 0 ? undefined : { ...run, carried: found, shared: [...shared] };
}
