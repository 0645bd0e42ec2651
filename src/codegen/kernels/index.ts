/** Kernel families in the order they are tried; the naive ones, last, take every region. */
import type { Family } from "../kernel.js";
import { attention } from "./attention.js";
import { fold, foldGroup } from "./fold.js";
import { map } from "./map.js";
import { matmul } from "./matmul.js";
import { rows } from "./rows.js";
import { squares } from "./squares.js";

export const families: readonly Family[] = [attention, squares, matmul, foldGroup, rows, map, fold];
