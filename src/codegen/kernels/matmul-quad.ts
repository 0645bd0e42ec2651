/**
 * The form of matmul for subgroups of four on a CPU, whose lanes swap rows inside the quad. SwiftShader is the one that has them: a vector of four
 * f32, loads and stores one number after the other, and a broadcast that costs eight instructions where a swap costs one.
 */
import { isMultiple } from "../fours.js";
import { fnText, kernelText, type LoweredVariant } from "../kernel.js";
import { countsOf, type MatmulPlan, storeFourText, storeHook, tilesOf } from "./matmul-plan.js";
import { squareText } from "./matmul-squares.js";
import { foursOf } from "./matmul-subgroup.js";

export interface QuadTile {
  /** Rows at most; fewer where the product has fewer at the compile batch. */
  readonly rows: 16 | 32;
  /** Blocks of 16 columns. */
  readonly blocks: 1 | 2;
  /** Fours of k in a step: what is summed is kept from step to step by its lanes' mask, which costs as much as three multiply-adds. */
  readonly parts: 1 | 2;
}

/**
 * The larger does more for each number that it loads, and SwiftShader takes eight times as long to compile it: its loop over K is five times the
 * smaller one's 35 KB, of which a core's first cache holds most.
 */
export const quadTiles: readonly QuadTile[] = [
  { rows: 16, blocks: 1, parts: 1 },
  { rows: 32, blocks: 2, parts: 2 },
];

export const quadName = ({ rows, blocks }: QuadTile): string => `quad-${rows}x${16 * blocks}`;

const [small, large] = quadTiles as readonly [QuadTile, QuadTile];

/** Tiles that keep the cores of a CPU at work to the end; fewer where numbers are read one by one, which the larger tile does less often. */
const ENOUGH_TILES = 32;
const ENOUGH_TILES_OF_NUMBERS = 8;
/** Of long tiles, in the gradient of a weight, a quarter as many do: other gradients have the larger tile beside it, so its text is there anyway. */
const ENOUGH_LONG_TILES = 8;
const LONG_TILE = 1 << 20;

/** Multiply-adds for which the larger tile of single numbers is worth its time to compile: a millisecond or so of work. */
export const ENOUGH_WORK_OF_NUMBERS = 4e6;

/** How many of the larger tiles there are at the compile batch. */
const largeTilesOf = (plan: MatmulPlan): number => tilesOf(plan, [large.rows, 16 * large.blocks]);

/** The tile that suits a product, by its size at the compile batch. */
export function quadFor(plan: MatmulPlan): QuadTile {
  const { rows, work } = countsOf(plan);
  const largeTiles = largeTilesOf(plan);
  const long = work >= LONG_TILE * largeTiles && foursOf(plan)?.aAlongK === false;
  const enough = long ? ENOUGH_LONG_TILES : ENOUGH_TILES;
  return rows > small.rows && largeTiles >= enough ? large : small;
}

/** Of few rows each number of B is read once by either tile. */
function quadOfNumbersFor(plan: MatmulPlan): QuadTile {
  const { rows, work } = countsOf(plan);
  return rows > small.rows / 2 && largeTilesOf(plan) >= ENOUGH_TILES_OF_NUMBERS && work >= ENOUGH_WORK_OF_NUMBERS ? large : small;
}

/** How a text reads its operands and stores its results. */
interface Access {
  readonly name: string;
  readonly what: string;
  /** Lines of the text that are for this order of the operands. */
  readonly lines: readonly string[];
  /** A lane owns every fourth row; else four of sixteen side by side. */
  readonly everyFourth: boolean;
  /** Bindings that are read and written four numbers at a time. */
  readonly vec4: readonly number[];
  readonly consts: Readonly<Record<string, string>>;
  readonly hooks: readonly string[];
  /** The file that adds up what rides on the product. */
  readonly sums: string;
}

/** The variant, none when the operands' order does not suit the form. */
export function quadVariants(plan: MatmulPlan, tile: QuadTile): LoweredVariant[] {
  const fours = foursOf(plan);
  if (!fours) return [];
  const { finish, shape } = plan;
  const { aAlongK, bAlongK, store } = fours;
  return [
    quadText(plan, tile, {
      name: quadName(tile),
      what: "",
      lines: [...(aAlongK ? ["A_K_BY_K"] : ["A_M_BY_M", "A_STRIDED"]), ...(bAlongK ? ["B_K_BY_K"] : ["B_N_BY_N", "B_STRIDED"])],
      everyFourth: aAlongK,
      vec4: [shape.aBinding, shape.bBinding, ...finish.bindings, ...store.vec4],
      consts: { UNIT: "4u", A_ALONG_K: String(aAlongK), B_ALONG_K: String(bAlongK) },
      hooks: [
        fnText("load_a(four: u32) -> vec4f", [`return b${shape.aBinding}[four];`]),
        fnText("load_b(four: u32) -> vec4f", [`return b${shape.bBinding}[four];`]),
        store.hook,
      ],
      sums: "./kernels/matmul-quad-sums.wgsl",
    }),
  ];
}

/** The same with numbers one by one, at any stride and of any shape: four k of a row are four loads. */
export function quadOfNumbers(plan: MatmulPlan): LoweredVariant {
  const { aBinding, bBinding } = plan.shape;
  return quadText(plan, quadOfNumbersFor(plan), {
    name: "subgroup-single-4",
    what: ", numbers one by one",
    lines: ["SINGLE", "A_STRIDED", "B_STRIDED"],
    everyFourth: true,
    vec4: [],
    consts: { UNIT: "1u", A_ALONG_K: "true", B_ALONG_K: "true" },
    hooks: [
      fnText("number_a(i: u32) -> f32", [`return b${aBinding}[i];`]),
      fnText("number_b(i: u32) -> f32", [`return b${bBinding}[i];`]),
      storeHook(plan, "store_one"),
      storeFourText("value", [
        "store_one(i, m, n, batch, value.x);",
        ...["y", "z", "w"].map((part, j) => {
          const [at, column] = [`i + ${j + 1}u * C_N`, `n + ${j + 1}u`];
          return `if (${column} < N) { store_one(${at}, m, ${column}, batch, value.${part}); }`;
        }),
      ]),
    ],
    sums: "./kernels/matmul-sums.wgsl",
  });
}

function quadText(plan: MatmulPlan, { rows, blocks, parts }: QuadTile, access: Access): LoweredVariant {
  const { region, words, sizes, riding, shape } = plan;
  const most = Math.min(rows, countsOf(plan).rows);
  const tm = [4, 8, 16, 32].find((count) => count >= most && (access.everyFourth || count >= 16))!;
  const squares = squareText(plan, "subgroup");
  const lines = [...access.lines, ...(parts === 2 ? ["EIGHT"] : []), ...(isMultiple(shape.k.range, 4 * parts) ? [] : ["K_ENDS"])];
  const text = kernelText({
    title: `matmul, subgroups of 4 that swap rows: ${tm} × ${16 * blocks} results each${access.what}`,
    enables: ["enable subgroups;"],
    bindings: region.bindings,
    vec4: access.vec4,
    words,
    consts: {
      S: "4u",
      TM: `${tm}u`,
      TN: `${16 * blocks}u`,
      OWN: `${tm / 4}u`,
      NV: `${blocks}u`,
      COLUMNS: `${4 * blocks}u`,
      PARTS: `${parts}u`,
      ...Object.fromEntries(lines.map((name) => [name, "true"])),
      ...access.consts,
      ...riding.consts,
      ...squares.consts,
    },
    sizes,
    hooks: [...access.hooks, ...squares.hooks, riding.hooks].join("\n"),
    file: "./kernels/matmul-quad.wgsl",
    libraries: [access.sums],
  });
  return {
    name: access.name,
    requires: { features: ["subgroups"], subgroupSize: 4 },
    workgroupSize: 4,
    tile: [16 * blocks, tm, 1, 1],
    text,
  };
}
