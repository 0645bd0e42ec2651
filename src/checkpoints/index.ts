/**
 * Checkpoints of DiTs, of everyone's making: PyTorch's files, diffusers' and this program's own, from a disk, a File of a page, or an
 * address. Plain web platform: a page imports it as `dit-compile/checkpoints`.
 *
 *     const checkpoint = await openCheckpoint(blobSource(file));
 *     const { tensors, config } = ditWeights(checkpoint, "ema");
 *     for (const [name, tensor] of tensors) await session.write(`p.${name}`, await asFloat32(name, tensor).read());
 */
export { DitError } from "../diagnostics/diagnostic.js";
export { blobSource, bytesSource, type Source, urlSource } from "../formats/source.js";
export { asFloat32, type TensorView } from "../formats/tensor-view.js";
export { configText, type DitConfig, type Guessed, type Hints, nameConfig, presets } from "./config.js";
export { toDiffusers } from "./diffusers.js";
export { type Checkpoint, openCheckpoint, type Tensors } from "./open.js";
export { type OptimizerState, optimizerState } from "./optimizer.js";
export { type DitWeights, ditWeights, type Layout, withHeads } from "./weights.js";
