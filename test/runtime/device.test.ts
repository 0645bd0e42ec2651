import { describe, expect, it } from "vitest";
import { type Kernel, MATRICES, type Program, type Requirement, webLimits } from "../../src/program/program.js";
import { checkDevice, type DeviceFacts, deviceDescriptor, factsOf, missing, selectVariant } from "../../src/runtime/device.js";
import { type DitRuntimeError, suggestion } from "../../src/runtime/errors.js";
import { tiny } from "../program/tiny.js";

const facts: DeviceFacts = { features: new Set(["subgroups"]), limits: { ...webLimits }, subgroupSize: 8, hardware: false };
const variant = (name: string, requires: Requirement) => ({ name, requires, file: `${name}.wgsl`, workgroupSize: 64, tile: [1] });
const kernel: Kernel = {
  ...tiny().program.kernels[0]!,
  variants: [
    variant("tiles", { hardware: true }),
    variant("half", { features: ["shader-f16"] }),
    variant("wide", { features: ["subgroups"], subgroupSize: 32 }),
    variant("narrow", { features: ["subgroups"], subgroupSize: 8, limits: { maxComputeWorkgroupStorageSize: 16384 } }),
    variant("plain", {}),
  ],
};

describe("choosing variants", () => {
  it("takes the first whose wishes the device meets, and says why not the others", () => {
    expect(selectVariant(kernel, tiny().program, facts)).toEqual({
      variant: kernel.variants[3],
      why: "the device has subgroups, subgroups of 8, maxComputeWorkgroupStorageSize 16384; not tiles: a CPU, needs a GPU; not half: no feature shader-f16; not wide: subgroup width 8, needs 32",
    });
    const changing: DeviceFacts = { ...facts, subgroupSize: undefined };
    expect(selectVariant(kernel, tiny().program, changing).variant.name).toBe("plain");
    expect(selectVariant(kernel, tiny().program, { ...changing, hardware: true })).toEqual({
      variant: kernel.variants[0],
      why: "the device has a GPU",
    });
  });

  it("takes the last where the profile has no variants", () => {
    const { program } = tiny();
    const minimum: Program = { ...program, profile: { ...program.profile, variants: false } };
    expect(selectVariant(kernel, minimum, facts).variant.name).toBe("plain");
  });

  it("knows that a smaller alignment is better", () => {
    const limits = { minStorageBufferOffsetAlignment: 256 };
    expect(missing({ limits }, { ...facts, limits: { minStorageBufferOffsetAlignment: 16 } })).toEqual([]);
    expect(missing({ limits }, { ...facts, limits: { minStorageBufferOffsetAlignment: 512 } })).toEqual([
      "minStorageBufferOffsetAlignment 512, needs 256",
    ]);
  });
});

describe("matrix units", () => {
  const shape = { component: "f16", result: "f32", m: 16, n: 16, k: 16 };
  const config = { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 };
  const requires: Requirement = { features: ["subgroups", MATRICES], matrix: shape, subgroupSize: 32 };
  const { program } = tiny();
  const chosen: Program = {
    ...program,
    profile: { ...program.profile, features: [MATRICES] },
    kernels: [{ ...kernel, variants: [variant("matrix", requires), variant("plain", {})] }],
  };
  const offer = (...configs: (typeof config)[]) =>
    factsOf({ features: new Set(["subgroups", MATRICES]), limits: webLimits }, {
      subgroupMinSize: 32,
      subgroupMaxSize: 32,
      subgroupMatrixConfigs: configs,
    } as unknown as GPUAdapterInfo);

  it("are taken where the device multiplies that shape", () => {
    expect(selectVariant(chosen.kernels[0]!, chosen, offer({ ...config, N: 8 }, config)).why).toBe(
      `the device has subgroups, ${MATRICES}, matrices of 16 × 16 × 16, f16 to f32, subgroups of 32`,
    );
    expect(() => checkDevice(chosen, offer(config))).not.toThrow();
  });

  it("are not replaced in a program that was made for them", () => {
    expect(() => checkDevice(chosen, facts)).toThrow(`the device falls short: no feature ${MATRICES}`);
    const other = offer({ ...config, resultComponentType: "f16" });
    expect(() => checkDevice(chosen, other)).toThrow("the device falls short: no matrices of 16 × 16 × 16, f16 to f32");
    expect(suggested(() => checkDevice(chosen, facts))).toContain("compile without --choose matmul");
  });

  it("are passed over in a program that was not", () => {
    const free: Program = { ...chosen, profile: { ...chosen.profile, features: [] } };
    expect(() => checkDevice(free, facts)).not.toThrow();
    expect(selectVariant(free.kernels[0]!, free, facts).variant.name).toBe("plain");
  });
});

/** The help of the error. */
function suggested(what: () => void): string | undefined {
  try {
    what();
  } catch (error) {
    return (error as DitRuntimeError).help;
  }
  return undefined;
}

describe("asking for a device", () => {
  const adapter = {
    features: new Set(["subgroups", "texture-compression-bc"]),
    limits: { ...webLimits, maxComputeWorkgroupStorageSize: 32768, maxBufferSize: 2 ** 31 },
    info: { subgroupMinSize: 8, subgroupMaxSize: 8 },
  } as unknown as GPUAdapter;

  it("asks for what the program needs and what its variants can use, and nothing else", () => {
    const { program } = tiny();
    const wishful = variant("roomy", { limits: { maxComputeWorkgroupStorageSize: 32768 } });
    const all: Program = {
      ...program,
      profile: { ...program.profile, limits: { ...webLimits, maxBufferSize: 2 ** 30 } },
      kernels: [{ ...kernel, variants: [wishful, ...kernel.variants] }],
    };
    expect(deviceDescriptor(all, adapter)).toEqual({
      requiredFeatures: ["subgroups"],
      requiredLimits: { maxBufferSize: 2 ** 30, maxComputeWorkgroupStorageSize: 32768 },
    });
  });

  it("says everything that is missing", () => {
    const { program } = tiny();
    const own: Program = { ...program, profile: { ...program.profile, name: "big", subgroupSize: 32, features: ["shader-f16"] } };
    expect(() => checkDevice(own, facts)).toThrow(
      'this program was compiled for "big", and the device falls short: no feature shader-f16; subgroup width 8, needs 32',
    );
    expect(() => deviceDescriptor(own, adapter)).toThrow("falls short");
  });
});

it("suggests the nearest name, else all", () => {
  expect(suggestion("loss_and_grads", ["forward", "loss_and_grad"])).toBe('did you mean "loss_and_grad"?');
  expect(suggestion("zzz", ["forward", "sample"])).toBe("there are: forward, sample");
  expect(suggestion("zzz", [])).toBe("there are none");
});
