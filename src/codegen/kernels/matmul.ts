/**
 * matmul: dots whose operands are plain strided reads with one row, one column and one contracted loop, and at most two batch loops. Its
 * designs are choices, listed as data: by default several become variants of one kernel, of which the device takes the first that it can.
 */
import { evaluate, product } from "../../program/size.js";
import type { Choice, Family, FamilyOptions, LoweredVariant } from "../kernel.js";
import type { Region } from "../region.js";
import { type MatmulPlan, type MatmulShape, matmulShape, planOf, turned } from "./matmul-plan.js";
import { GPU_WIDTH, subgroupTiles } from "./matmul-subgroup.js";
import { FEW_ROWS, FEW_ROWS_K, fewRows, registerTile, TILE_K, workgroupTile } from "./matmul-tiles.js";

interface Design extends Choice {
  /** The variants, none where the design does not apply. */
  readonly variants: (plan: MatmulPlan) => readonly LoweredVariant[];
}

const withoutSums = (plan: MatmulPlan): boolean => plan.shape.fold.sums.length === 0;

export const matmulChoices: readonly Design[] = [
  {
    name: "few-rows",
    doc: "threads divide K, weights are read once for up to 16 rows; where no sum rides on the dot",
    variants: (plan) => (withoutSums(plan) ? [fewRows(plan)] : []),
  },
  {
    name: "subgroup-inline",
    doc: "rows handed round a subgroup; where its width is fixed and operands and result lie in fours",
    variants: (plan) => subgroupTiles(plan, "inline"),
  },
  {
    name: "subgroup-tail",
    doc: "the same, and what follows the dot is done in a loop over the stored results",
    variants: (plan) => subgroupTiles(plan, "tail"),
  },
  {
    name: "workgroup-64x64",
    doc: "tiles in workgroup memory, 8 × 4 results a thread",
    variants: (plan) => [workgroupTile(plan, 8)],
  },
  {
    name: "workgroup-64x32",
    doc: "tiles in workgroup memory, 4 × 4 results a thread",
    variants: (plan) => [workgroupTile(plan, 4)],
  },
  {
    name: "register-4x4",
    doc: "operands straight from storage, 4 × 4 results a thread",
    variants: (plan) => [registerTile(plan)],
  },
];

/** Workgroups below which a large GPU stands half empty, so that smaller tiles are better. */
const ENOUGH_GROUPS = 128;

/**
 * The default, most demanding first: the subgroup form, where a
 * device has one width; then workgroup tiles, on hardware: there a barrier costs tens of cycles and the tiles save nearly all traffic to
 * memory, whatever the subgroups are. On a CPU that stands in for a GPU it is the other way round: workgroup memory is ordinary memory
 * and every barrier a switch of all invocations, so tiles in registers, which need neither, are last and run everywhere. A K that one
 * step of a tile would cover leaves nothing to share: such a product is bound by its stores, and register tiles do.
 */
function best(plan: MatmulPlan, guarded: boolean): LoweredVariant[] {
  const { shape, region } = plan;
  if (!guarded) return [registerTile(plan)];
  const at = (l: { range: MatmulShape["m"]["range"] }): number => evaluate(l.range, region.batch);
  const groups =
    Math.ceil(at(shape.m) / 64) * Math.ceil(at(shape.n) / 64) * evaluate(product(shape.batch.map((l) => l.range)), region.batch);
  const tiles = workgroupTile(plan, groups < ENOUGH_GROUPS ? 4 : 8);
  const shared = at(shape.k) > TILE_K ? [{ ...tiles, requires: { hardware: true } }] : [];
  return [...subgroupTiles(plan, "best"), ...shared, registerTile(plan)];
}

/** For few rows, where the subgroup is a CPU's vector: its lanes share rows without workgroup memory, and nothing is won by neighbours' reads. */
const narrow = (plan: MatmulPlan): LoweredVariant[] =>
  subgroupTiles(plan, "best").filter((v) => v.requires.subgroupSize! < GPU_WIDTH);

/** Whether rows are few at the compile batch; there is one kernel for all batches, and it is right at each. */
const hasFewRows = (s: MatmulShape, { batch }: Region): boolean =>
  evaluate(s.m.range, batch) <= FEW_ROWS && evaluate(s.k.range, batch) >= FEW_ROWS_K;

export const matmul: Family = {
  name: "matmul",
  doc: "Matrix products, in several designs.",
  choices: matmulChoices,
  lower: (region, options: FamilyOptions) => {
    if (options.safe) return undefined;
    const shape = matmulShape(region);
    if (!shape) return undefined;
    // Few columns are few rows of the transposed product.
    const few = shape.fold.sums.length > 0 ? undefined : [shape, turned(shape)].find((s) => hasFewRows(s, region));
    const lowered = (s: MatmulShape, choose: (plan: MatmulPlan) => readonly LoweredVariant[]) => {
      const plan = planOf(region, s);
      const variants = choose(plan);
      return {
        family: "matmul",
        words: plan.words,
        extent: [s.n.range, s.m.range, s.batch[1].range, s.batch[0].range],
        variants,
      };
    };
    const wanted = matmulChoices.find(({ name }) => name === options.choices?.matmul);
    if (!wanted && few)
      return lowered(few, (plan) => [...(options.variants && few === shape ? narrow(plan) : []), fewRows(plan)]);
    return lowered(shape, (plan) => {
      const chosen =
        wanted?.variants(plan).filter(({ requires }) => options.variants || Object.keys(requires).length === 0) ?? [];
      // A design that some devices cannot run has the default behind it, one that does not apply is the default.
      if (chosen.some(({ requires }) => Object.keys(requires).length === 0)) return chosen;
      return chosen.length > 0 ? [...chosen, registerTile(plan)] : best(plan, options.variants);
    });
  },
};
