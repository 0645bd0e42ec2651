/** The runtime: runs a compiled Program on any WebGPU device. In a page, `load` (web.ts) does the fetching too. */
export type { MemoryPlan } from "../program/memory.js";
export { type Layout, pack, peak } from "../program/pack.js";
export type { Bundle, Program } from "../program/program.js";
export { validate, validateLayout } from "../program/validate.js";
export { type CallCounter, countCalls } from "./counter.js";
export { deviceDescriptor, type VariantChoice } from "./device.js";
export { DitRuntimeError, type RuntimeErrorCode } from "./errors.js";
export type { InputData, Inputs, Outputs, TypedArray } from "./inputs.js";
export { createSession, type Look, type Progress, Session, type SessionOptions, type StepOptions } from "./session.js";
export { parseSafetensorsLite, streamWeights, type WeightsOptions } from "./weights.js";
