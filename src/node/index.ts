/** dit-compile in Node: bundles on disk, devices through Dawn, sessions with weights from files. */
export { type DawnDevice, type DeviceOptions, requestDevice } from "../runtime/node/dawn.js";
export { type DriverKind, ensureDriver } from "../runtime/node/driver.js";
export { selectVariants, type VariantChoices, withVariants } from "../runtime/variants.js";
export { type LoadOptions, load } from "./load.js";
export { programHash, readBundle, readVariants } from "./read-bundle.js";
export { type RunEntryOptions, runEntry } from "./run-entry.js";
export { inMemoryWeights, openWeights, type ReadWeight, type WriteOptions, writeWeights } from "./weights.js";
