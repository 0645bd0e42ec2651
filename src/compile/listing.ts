/** A compiled program as text for `--emit`: its memory plan with every dispatch, and its kernels. */
import { gridOf, rowLimit } from "../program/grid.js";
import { livesOf, pack, peak } from "../program/pack.js";
import { type Bundle, matrixText, type Program, type Requirement } from "../program/program.js";
import { printSize } from "../program/size.js";
import { size, table, whole } from "./text.js";

/** Slabs, where every storage lies and when it lives, and every dispatch with its grid, at the program's batch. */
export function planText(program: Program): string {
  const { batch } = program;
  const layout = pack(program, batch);
  const { total } = peak(layout);
  const lives = program.entries.map((entry) => ({ entry: entry.name, live: livesOf(program, entry) }));
  const slabs = layout.slabs.map(({ kind, bytes }, i) => [String(i), kind, whole(bytes), size(bytes)]);
  const storages = program.storages.flatMap(({ kind, name, bytes }, id) => {
    const place = layout.places[id];
    if (!place) return [];
    const when = lives.flatMap(({ entry, live }) => {
      const range = live.get(id);
      return range ? [`${entry} ${range[0]}..${range[1]}`] : [];
    });
    return [
      [String(id), kind, name, String(place.slab), whole(place.offset), whole(place.bytes), printSize(bytes), when.join(", ")],
    ];
  });
  return [
    `plan of ${program.model.name} ${program.model.preset}, batch ${batch}, program ${program.hash}`.replace("  ", " "),
    `${layout.slabs.length} slabs, ${size(total)} (${whole(total)} bytes)`,
    "",
    table([["slab", "kind", "bytes", ""], ...slabs], [0, 2, 3]),
    "",
    table([["storage", "kind", "name", "slab", "offset", "bytes", "size", "lives in dispatches"], ...storages], [0, 3, 4, 5]),
    ...program.entries.flatMap((entry) => ["", dispatchTable(program, entry.name)]),
    "",
  ].join("\n");
}

function dispatchTable(program: Program, name: string): string {
  const entry = program.entries.find((candidate) => candidate.name === name)!;
  const limit = rowLimit(program);
  let position = 0;
  const rows = entry.segments.flatMap(({ repeat, dispatches }, segment) =>
    dispatches.map((dispatch) => {
      const kernel = program.kernels[dispatch.kernel]!;
      // The grid of the variant that runs everywhere.
      const { x, y } = gridOf(dispatch, kernel.variants.at(-1)!, program.batch, limit);
      const extent = dispatch.extent.map(printSize).join(" × ");
      return [
        String(position++),
        entry.segments.length > 1 || repeat > 1 ? `${segment} (${repeat} ×)` : "",
        kernel.name,
        y === 1 ? String(x) : `${x} × ${y}`,
        extent,
        dispatch.bindings.join(" "),
        dispatch.label,
      ];
    }),
  );
  return `entry ${name}\n${table([["dispatch", "segment", "kernel", "groups", "extent", "storages", "what"], ...rows], [0])}`;
}

/** Every kernel's text in all its variants, each under a header that says what it needs and who runs it. */
export function wgslText({ program, wgsl }: Bundle): string {
  const uses = program.kernels.map(() => new Map<string, number>());
  for (const entry of program.entries) {
    for (const { kernel } of entry.segments.flatMap(({ dispatches }) => dispatches)) {
      uses[kernel]!.set(entry.name, (uses[kernel]!.get(entry.name) ?? 0) + 1);
    }
  }
  return program.kernels
    .flatMap((kernel, id) =>
      kernel.variants.map((variant) => {
        const users = [...uses[id]!].map(([entry, n]) => `${entry} × ${n}`).join(", ");
        return [
          `// ---- ${variant.file}`,
          `// family ${kernel.family}, variant ${variant.name}, needs ${needs(variant.requires)}, tile ${variant.tile.join(" × ")}`,
          `// run by ${users || "nothing"}`,
          wgsl[variant.file]!.trimEnd(),
          "",
        ].join("\n");
      }),
    )
    .join("\n");
}

const needs = ({ features = [], matrix, subgroupSize, limits = {}, hardware }: Requirement): string =>
  [
    ...(hardware === undefined ? [] : [hardware ? "a GPU" : "a CPU"]),
    ...features,
    ...(matrix ? [matrixText(matrix)] : []),
    ...(subgroupSize === undefined ? [] : [`subgroups of ${subgroupSize}`]),
    ...Object.entries(limits).map(([name, limit]) => `${name} ${limit}`),
  ].join(", ") || "nothing";
