/**
 * What a model file may import. The type checker reads this when it checks one: the compiler's own declarations, a megabyte of them,
 * stay out of it, and checking a model takes half the time.
 */
export { diffusion } from "./diffusion/objective.js";
export { positionTable, timestepFeatures, timestepTable } from "./diffusion/tables.js";
export * from "./dsl/index.js";
export { supervised } from "./training/supervised.js";
