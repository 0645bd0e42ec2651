/**
 * What a program needs of a device, and which variant of each kernel a device gets. Decisions rest on features, limits, the subgroup
 * width and whether the adapter is a fallback; a vendor's name is never looked at, so the same facts always give the same choice.
 */
import {
  type Kernel,
  MATRICES,
  type MatrixShape,
  matrixText,
  type Program,
  type Requirement,
  type Variant,
  webLimits,
} from "../program/program.js";
import { DitRuntimeError } from "./errors.js";

/** The facts that decide; a GPUDevice has them, and so has an adapter. */
export interface DeviceFacts {
  readonly features: ReadonlySet<string>;
  readonly limits: Readonly<Record<string, number | undefined>>;
  /** The only subgroup width, where smallest and largest agree. */
  readonly subgroupSize: number | undefined;
  /** What its matrix units multiply, by `matrixText`; absent where it has none. */
  readonly matrices?: ReadonlySet<string>;
  /** Not a fallback adapter, which is a CPU. */
  readonly hardware: boolean;
}

export interface VariantChoice {
  readonly kernel: string;
  readonly variant: string;
  readonly why: string;
}

interface Offer {
  readonly features: { has(name: string): boolean } & Iterable<string>;
  readonly limits: object;
}

export function factsOf(offer: Offer, info: GPUAdapterInfo | undefined): DeviceFacts {
  const {
    subgroupMinSize: least,
    subgroupMaxSize: most,
    isFallbackAdapter,
    subgroupMatrixConfigs: matrices,
  } = (info ?? {}) as {
    subgroupMinSize?: number;
    subgroupMaxSize?: number;
    isFallbackAdapter?: boolean;
    subgroupMatrixConfigs?: readonly MatrixConfig[];
  };
  return {
    features: new Set(offer.features),
    limits: offer.limits as DeviceFacts["limits"],
    subgroupSize: least === most && least !== undefined && least > 0 ? least : undefined,
    ...(matrices?.length ? { matrices: new Set(matrices.map((config) => matrixText(shapeOf(config)))) } : {}),
    hardware: isFallbackAdapter !== true,
  };
}

/** A shape of matrix units as Dawn and Chromium say it. */
interface MatrixConfig {
  readonly componentType: string;
  readonly resultComponentType: string;
  readonly M: number;
  readonly N: number;
  readonly K: number;
}

const shapeOf = ({ componentType, resultComponentType, M, N, K }: MatrixConfig): MatrixShape => ({
  component: componentType,
  result: resultComponentType,
  m: M,
  n: N,
  k: K,
});

/** What adapters said of themselves, by their devices, where those say less: Dawn's binding for Node lists matrix units on adapters alone. */
const told = new WeakMap<GPUDevice, GPUAdapterInfo>();
export const rememberInfo = (device: GPUDevice, info: GPUAdapterInfo): void => void told.set(device, info);

export const deviceFacts = (device: GPUDevice): DeviceFacts =>
  factsOf(device, told.get(device) ?? (device as { adapterInfo?: GPUAdapterInfo }).adapterInfo);

/** Alignments are better when they are smaller; every other limit when it is larger. */
const suffices = (name: string, has: number, needs: number): boolean => (name.startsWith("min") ? has <= needs : has >= needs);

/** What is missing, in words; empty when the device will do. */
export function missing(requires: Requirement, facts: DeviceFacts): string[] {
  const reasons = (requires.features ?? [])
    .filter((feature) => !facts.features.has(feature))
    .map((feature) => `no feature ${feature}`);
  if (requires.matrix && !facts.matrices?.has(matrixText(requires.matrix))) reasons.push(`no ${matrixText(requires.matrix)}`);
  if (requires.subgroupSize !== undefined && facts.subgroupSize !== requires.subgroupSize) {
    const found = facts.subgroupSize === undefined ? "not fixed" : String(facts.subgroupSize);
    reasons.push(`subgroup width ${found}, needs ${requires.subgroupSize}`);
  }
  if (requires.hardware !== undefined && requires.hardware !== facts.hardware)
    reasons.push(facts.hardware ? "a GPU, is for a CPU" : "a CPU, needs a GPU");
  for (const [name, needs] of Object.entries(requires.limits ?? {})) {
    const has = facts.limits[name];
    if (has === undefined) reasons.push(`no limit ${name}`);
    else if (!suffices(name, has, needs)) reasons.push(`${name} ${has}, needs ${needs}`);
  }
  return reasons;
}

/** Refuses a device on which the program cannot run, with everything that is missing. */
export function checkDevice(program: Program, facts: DeviceFacts): void {
  const { name, features, limits, subgroupSize } = program.profile;
  const reasons = missing({ features, limits, ...(subgroupSize === undefined ? {} : { subgroupSize }) }, facts);
  if (reasons.length === 0) reasons.push(...missingMatrices(program, facts));
  if (reasons.length === 0) return;
  const lacks = (feature: string): boolean => features.includes(feature) && !facts.features.has(feature);
  const made = "make the device with deviceDescriptor(program, adapter)";
  throw new DitRuntimeError(
    "DIT6002",
    `this program was compiled for "${name}", and the device falls short: ${reasons.join("; ")}`,
    lacks("shader-f16")
      ? `it stores numbers in f16: compile without --dtype f16 for a device that lacks shader-f16, or ${made}`
      : features.includes(MATRICES)
        ? `its products are for matrix units: compile without --choose matmul for a device that lacks them, or ${made}; Dawn and Chromium have the feature only where unsafe APIs are allowed (DIT_COMPILE_DAWN=allow_unsafe_apis)`
        : `compile with --target web, which runs on every WebGPU device, or ${made}`,
  );
}

/** Of a program whose products were chosen to run on matrix units: what a device lacks on which one of them would run in another way. */
function missingMatrices({ profile, kernels }: Program, facts: DeviceFacts): string[] {
  if (!profile.features.includes(MATRICES)) return [];
  const lacking = kernels.flatMap(({ variants }) => {
    const wanted = variants.filter(({ requires }) => requires.matrix);
    const reasons = wanted.map(({ requires }) => missing(requires, facts));
    return reasons.every((list) => list.length > 0) ? reasons.flat() : [];
  });
  return [...new Set(lacking)];
}

/** The first variant whose requirement the device meets, and why. */
export function selectVariant(kernel: Kernel, program: Program, facts: DeviceFacts): { variant: Variant; why: string } {
  const last = kernel.variants.at(-1)!;
  if (kernel.variants.length === 1) return { variant: last, why: "the only one" };
  if (!program.profile.variants) return { variant: last, why: "the profile allows no variants" };
  const passed: string[] = [];
  for (const variant of kernel.variants) {
    const reasons = missing(variant.requires, facts);
    if (reasons.length > 0) {
      passed.push(`${variant.name}: ${reasons.join(", ")}`);
      continue;
    }
    const met = variant === last ? "runs everywhere" : `the device has ${described(variant.requires)}`;
    return { variant, why: [met, ...passed.map((reason) => `not ${reason}`)].join("; ") };
  }
  return { variant: last, why: "runs everywhere" };
}

const described = ({ features, matrix, subgroupSize, limits, hardware }: Requirement): string =>
  [
    ...(hardware === undefined ? [] : [hardware ? "a GPU" : "a CPU"]),
    ...(features ?? []),
    ...(matrix ? [matrixText(matrix)] : []),
    ...(subgroupSize === undefined ? [] : [`subgroups of ${subgroupSize}`]),
    ...Object.entries(limits ?? {}).map(([name, value]) => `${name} ${value}`),
  ].join(", ");

/**
 * What to ask an adapter for: all that the program needs, and of what its variants can use, whatever the adapter has. Throws when
 * the adapter cannot give what is needed.
 */
export function deviceDescriptor(program: Program, adapter: GPUAdapter): GPUDeviceDescriptor {
  const facts = factsOf(adapter, (adapter as { info?: GPUAdapterInfo }).info);
  checkDevice(program, facts);
  const features = new Set(program.profile.features);
  const limits: Record<string, number> = {};
  const raise = (name: string, value: number) => {
    const old = limits[name];
    limits[name] = old === undefined ? value : name.startsWith("min") ? Math.min(old, value) : Math.max(old, value);
  };
  for (const [name, value] of Object.entries(program.profile.limits)) raise(name, value);
  for (const { requires } of program.profile.variants ? program.kernels.flatMap((kernel) => kernel.variants) : []) {
    if (missing(requires, facts).length > 0) continue;
    for (const feature of requires.features ?? []) features.add(feature);
    for (const [name, value] of Object.entries(requires.limits ?? {})) raise(name, value);
  }
  // What every device has need not be asked for, and a name that this browser does not know would be refused.
  for (const [name, value] of Object.entries(limits)) {
    if (webLimits[name] === value || facts.limits[name] === undefined) delete limits[name];
  }
  return { requiredFeatures: [...features] as GPUFeatureName[], requiredLimits: limits };
}
