/**
 * matmul: dots whose operands are plain strided reads with one row, one column and one contracted loop, and at most two batch loops. Its
 * designs are choices, listed as data: by default several become variants of one kernel, of which the device takes the first that it can.
 */

import { InternalError } from "../../diagnostics/diagnostic.js";
import { MATRICES } from "../../program/program.js";
import { evaluate, type Size } from "../../program/size.js";
import { matmulKey } from "../choice-key.js";
import { type Choice, type Family, LOOPED, type LoweredVariant } from "../kernel.js";
import type { Region } from "../region.js";
import { matrixName, matrixSides, matrixTiles, matrixVariants } from "./matmul-matrix.js";
import { panelTiles, suitsPanels } from "./matmul-panel.js";
import { type MatmulPlan, type MatmulShape, matmulShape, planOf, tilesOf, turned } from "./matmul-plan.js";
import { quadFor, quadName, quadTiles, quadVariants } from "./matmul-quad.js";
import { singleTiles } from "./matmul-single.js";
import { partsOf, splitK, splitName } from "./matmul-split.js";
import { squaresBeside } from "./matmul-squares.js";
import { GPU_WIDTH, subgroupTiles } from "./matmul-subgroup.js";
import {
  FEW_ROWS,
  FEW_ROWS_K,
  fewRows,
  registerTile,
  sidesOf,
  type Tile,
  threadsOf,
  tileName,
  wholeTile,
  workgroupTiles,
  workgroupVariants,
} from "./matmul-tiles.js";

interface Design extends Choice {
  /** Written for a subgroup that is the vector of a CPU: right on a GPU where it applies at all, and several times slower there. */
  readonly onVectors?: true;
  /** The product as the design takes it, undefined where it does not apply; default: as it is. */
  readonly takes?: (shape: MatmulShape, region: Region) => MatmulShape | undefined;
  /** The variants, none where the design does not apply. */
  readonly variants: (plan: MatmulPlan) => readonly LoweredVariant[];
}

/** Most columns of a product that is better seen as one of few rows: a tile's width would be nearly all waste. */
const FEW_COLUMNS = 4;

/**
 * The product whose rows are few at the compile batch, as it is or turned; the form has no place for what rides on a product. There is one
 * kernel for all batches, right at each.
 */
function ofFewRows(shape: MatmulShape, { batch }: Region): MatmulShape | undefined {
  const at = (size: Size): number => evaluate(size, batch);
  if (shape.fold.sums.length > 0 || shape.fold.squares) return undefined;
  if (at(shape.m.range) <= FEW_ROWS) return shape;
  return at(shape.n.range) <= FEW_COLUMNS ? turned(shape) : undefined;
}

/** Tiles whose parts of K are products of their own, by the choice's name; the larger reads less, the smaller divides less. */
const splitTiles: ReadonlyMap<string, Tile> = new Map(
  ["workgroup-64x64-k2", "workgroup-32x32-k8"].map((name) => {
    const tile = workgroupTiles.find((candidate) => tileName(candidate) === name)!;
    return [splitName(tile), tile];
  }),
);

export const matmulChoices: readonly Design[] = [
  {
    name: "few-rows",
    doc: "threads divide K, weights are read once for up to 16 rows; where there are no more, and no sum rides on the dot",
    takes: ofFewRows,
    variants: (plan) => [fewRows(plan)],
  },
  {
    name: "subgroup-inline",
    doc: "rows handed round a subgroup; where its width is fixed and operands and result lie in fours",
    onVectors: true,
    variants: (plan) => subgroupTiles(plan, "inline"),
  },
  {
    name: "subgroup-tail",
    doc: "the same, and results are stored in a loop that is not unrolled",
    onVectors: true,
    variants: (plan) => subgroupTiles(plan, "tail"),
  },
  {
    name: "subgroup-panel",
    doc: "K of 64 at most: the second operand is loaded once for many rows; where operands and result lie in fours",
    onVectors: true,
    variants: panelTiles,
  },
  ...quadTiles.map((tile) => ({
    name: quadName(tile),
    doc: "rows swapped in a subgroup of four; where a CPU has no wider one, and operands and result lie in fours",
    onVectors: true as const,
    variants: (plan: MatmulPlan) => quadVariants(plan, tile),
  })),
  {
    name: "subgroup-single",
    doc: "rows handed round a subgroup, numbers one by one: any shape, on a CPU",
    onVectors: true,
    variants: singleTiles,
  },
  ...workgroupTiles.map((tile) => ({
    name: tileName(tile),
    doc: `tiles in workgroup memory, ${tile.rows} × ${4 * tile.vectors} results a thread${tile.slices === 1 ? "" : `, K in ${tile.slices} parts`}`,
    variants: (plan: MatmulPlan) => workgroupVariants(plan, tile),
  })),
  ...matrixTiles.map((tile) => ({
    name: matrixName(tile),
    doc: `matrix units on f16 operands${tile.slices === 1 ? "" : `, K in ${tile.slices} parts`}; only where the device has them`,
    needs: [MATRICES],
    variants: (plan: MatmulPlan) => matrixVariants(plan, tile),
  })),
  ...[...splitTiles.keys()].map((name) => ({
    name,
    doc: "K divided among workgroups, whose parts a second kernel adds; where tiles are few and K is long",
    // Two kernels, made before there are variants; where K is not divided the choice is left to us.
    variants: () => [],
  })),
  {
    name: "register-4x4",
    doc: "operands straight from storage, 4 × 4 results a thread",
    variants: (plan) => [registerTile(plan)],
  },
];

/**
 * Any design with the sizes that no batch changes as numbers in its text, where a driver can fold them and unroll by them: a pipeline for each
 * shape, where one serves all. Alone it is the compiler's own design so.
 */
const BAKED = "baked";
export const withBaked = (choice: string | undefined): string => (choice === undefined ? BAKED : `${choice}+${BAKED}`);
/** What a choice names: a design, undefined for the compiler's own, and whether its sizes stand in the text. */
export function designOf(choice: string | undefined): { readonly design: string | undefined; readonly baked: boolean } {
  if (choice === BAKED) return { design: undefined, baked: true };
  const baked = choice?.endsWith(`+${BAKED}`) ?? false;
  return { design: baked ? choice!.slice(0, -BAKED.length - 1) : choice, baked };
}

/** Whether a variant of this name is of the design of that name: some say their rows or their width in place of how they end, or that they loop. */
export function isOfDesign(variant: string, design: string): boolean {
  if (design === "few-rows") return variant.startsWith("few-");
  if (design === "subgroup-single" || design === "subgroup-panel") return variant.startsWith(`${design}-`);
  return design.startsWith("subgroup-") ? /^subgroup-\d+$/.test(variant) : variant === design || variant === `${design}${LOOPED}`;
}

/**
 * Threads that a large GPU needs to hide what each waits for. Of the tiles that make as many, the largest reads least; but tiles of 128 × 128
 * must be several times as many as run at once, for the last round is seldom full. On an NVIDIA H200 what this takes is the fastest of those
 * tried, or within about a tenth of it, for the products of DiT-S/4, of a training step of `small` and of DiT-XL/2 at batch 16.
 */
const ENOUGH_THREADS = 48 * 1024;
const ENOUGH_OF_LARGE = 128 * 1024;

/** The tile that suits a GPU, by the size at the compile batch. */
const tileFor = (plan: MatmulPlan): Tile =>
  workgroupTiles.find((tile) => {
    const enough = tile.vectors > 1 ? ENOUGH_OF_LARGE : ENOUGH_THREADS;
    return tilesOf(plan, sidesOf(tile)) * threadsOf(tile) >= enough;
  }) ?? workgroupTiles.at(-1)!;

/**
 * Matrix units where a device has them and the operands lie in f16: on an H200 tiles of 128 × 128 are the fastest from about 800 on, those of
 * 64 × 64 from about 140; of fewer the f32 tiles with K in parts are.
 */
const ENOUGH_MATRICES: readonly (readonly [name: string, tiles: number])[] = [
  ["matrix-128x128", 800],
  ["matrix-64x64", 140],
];

/** Behind the larger tiles, which need more memory than every device has, the smaller. */
const onMatrices = (plan: MatmulPlan, guarded: boolean): LoweredVariant[] =>
  ENOUGH_MATRICES.flatMap(([name, tiles]) => {
    const tile = matrixTiles.find((candidate) => matrixName(candidate) === name)!;
    return guarded && tilesOf(plan, matrixSides(tile)) >= tiles ? matrixVariants(plan, tile) : [];
  });

/**
 * What runs whatever the subgroups are. On a GPU, workgroup tiles: a barrier costs tens of cycles there, and the tiles save nearly all
 * traffic to memory. On a CPU that stands in for a GPU it is the other way round: workgroup memory is memory like any other and a barrier
 * a switch of all invocations, so register tiles, which need neither, are last and run everywhere.
 */
const portable = (plan: MatmulPlan, guarded: boolean): LoweredVariant[] => [
  ...(guarded ? [wholeTile(plan, tileFor(plan))] : []),
  registerTile(plan),
];

/**
 * The subgroup forms where a subgroup is the vector of a CPU: the one for quads where it is a quad. A GPU's lanes hold 128 results each and wait
 * for every load: on an NVIDIA H200 the workgroup tiles are 4 to 20 times faster, the less of a product there is the more, so no GPU takes these,
 * whatever its subgroups. What does not lie in fours is read one by one.
 */
function onVectors(plan: MatmulPlan, guarded: boolean): LoweredVariant[] {
  if (!guarded) return [];
  const panels = suitsPanels(plan) ? panelTiles(plan) : [];
  const wide = panels.length > 0 ? panels : subgroupTiles(plan, "best");
  const fours = wide.filter(({ requires: { subgroupSize } }) => subgroupSize! > 4 && subgroupSize! < GPU_WIDTH);
  const forms = [...quadVariants(plan, quadFor(plan)), ...(fours.length > 0 ? fours : singleTiles(plan))];
  return forms.map((form) => ({ ...form, requires: { ...form.requires, hardware: false } }));
}

/**
 * For few rows one form suits every GPU. Where the subgroup is a CPU's vector its lanes had better share rows by shuffles: without
 * workgroup memory, and which thread reads beside which is all the same.
 */
const forFewRows = (plan: MatmulPlan, guarded: boolean): LoweredVariant[] => [...onVectors(plan, guarded), fewRows(plan)];

const anyRows = (plan: MatmulPlan, guarded: boolean): LoweredVariant[] => [
  ...onMatrices(plan, guarded),
  ...onVectors(plan, guarded),
  ...portable(plan, guarded),
];

interface Way {
  readonly plan: MatmulPlan;
  /** The most demanding first. */
  readonly variants: readonly LoweredVariant[];
}

/** What suits the shape. */
function ownWay(region: Region, shape: MatmulShape, baked: boolean, guarded: boolean): Way {
  const few = evaluate(shape.k.range, region.batch) < FEW_ROWS_K ? undefined : ofFewRows(shape, region);
  const plan = planOf(region, few ?? shape, baked);
  return { plan, variants: few ? forFewRows(plan, guarded) : anyRows(plan, guarded) };
}

/** The chosen design, undefined where it does not apply. One that some devices cannot run has one behind it that they can. */
function chosenWay(design: Design, region: Region, shape: MatmulShape, baked: boolean, guarded: boolean): Way | undefined {
  const taken = design.takes ? design.takes(shape, region) : shape;
  if (!taken) return undefined;
  const plan = planOf(region, taken, baked);
  const free = ({ requires }: LoweredVariant): boolean => Object.keys(requires).length === 0;
  const variants = design.variants(plan).filter((v) => guarded || free(v));
  if (variants.length === 0) return undefined;
  return { plan, variants: variants.some(free) ? variants : [...variants, ...portable(plan, guarded)] };
}

/** Each workgroup has a part for its sum of squares. */
function checkParts({ fold }: MatmulShape, extent: readonly Size[], variants: readonly LoweredVariant[]): void {
  for (const { name, tile } of variants) {
    const groups = extent.reduce<number>((n, size, i) => n * Math.ceil(evaluate(size, 1) / tile[i]!), 1);
    if (groups > fold.squares!.parts) throw new InternalError(`${name} has more workgroups than there are parts for squares`);
  }
}

export const matmul: Family = {
  name: "matmul",
  doc: "Matrix products, in several designs.",
  choices: [...matmulChoices, { name: BAKED, doc: "sizes in the text; as +baked behind any other" }],
  lower: (region, options) => {
    if (options.safe) return undefined;
    const found = matmulShape(region);
    if (!found) return undefined;
    const choiceKey = matmulKey(region, found);
    const { design: wanted, baked } = designOf(options.choices?.matmul ?? options.tuning?.get(choiceKey));
    const tile = splitTiles.get(wanted ?? "");
    const parts = tile && partsOf(region, found, tile, ENOUGH_THREADS);
    const divided = parts && splitK(region, found, tile, parts);
    if (divided) return { ...divided, choiceKey };
    const design = matmulChoices.find(({ name }) => name === wanted);
    const chosen = design && chosenWay(design, region, found, baked, options.variants);
    const { plan, variants } = chosen ?? ownWay(region, found, baked, options.variants);
    const { shape } = plan;
    const extent = [shape.n.range, shape.m.range, shape.batch[1].range, shape.batch[0].range];
    if (plan.squares) checkParts(shape, extent, variants);
    return {
      family: "matmul",
      words: plan.words,
      extent,
      variants,
      choiceKey,
    };
  },
  squaresBeside: (region, { safe }) => (safe ? undefined : squaresBeside(region)),
};
