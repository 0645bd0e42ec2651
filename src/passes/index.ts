/** The passes in the order they run: the list is the documentation. */
import { batchDots } from "./batch-dots.js";
import { cse } from "./cse.js";
import { dce } from "./dce.js";
import { differentiate } from "./differentiate.js";
import { fuse } from "./fuse/index.js";
import { layout } from "./layout.js";
import { narrow } from "./narrow.js";
import type { Pass } from "./pass.js";
import { raiseAttention } from "./raise-attention.js";
import { raiseNorm } from "./raise-norm.js";
import { recompute } from "./recompute/index.js";
import { simplify } from "./simplify/index.js";
import { stageSums } from "./stage-sums.js";

export const passes: readonly Pass[] = [
  raiseAttention,
  raiseNorm,
  batchDots,
  differentiate,
  simplify,
  cse,
  dce,
  stageSums,
  layout,
  fuse,
  recompute,
  narrow,
];
