import { describe, expect, it } from "vitest";
import { type Kernel, type Program, type Requirement, webLimits } from "../../src/program/program.js";
import { checkDevice, type DeviceFacts, deviceDescriptor, missing, selectVariant } from "../../src/runtime/device.js";
import { suggestion } from "../../src/runtime/errors.js";
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
