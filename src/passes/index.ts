/** The passes in the order they run: the list is the documentation. */
import { cse } from "./cse.js";
import { dce } from "./dce.js";
import type { Pass } from "./pass.js";
import { simplify } from "./simplify/index.js";

export const passes: readonly Pass[] = [simplify, cse, dce];
