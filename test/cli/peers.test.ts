// What makes a comparison with others fair: numbers are held against ours before anything is timed, and one counter counts for all.
import { describe, expect, test } from "vitest";
import { differences, right } from "../../bench/peers/check.mjs";
import { countGpu } from "../../bench/peers/count-gpu.mjs";
import { asStored, linearOf } from "../../bench/peers/dit.mjs";

describe("numbers", () => {
  const expected = new Map([
    ["losses", [1, 2]],
    ["gradient of a", [0.5, -1]],
    ["gradient of b", [0.01, 0.02]],
  ]);
  const found = (changes: Record<string, number[]>) => new Map([...expected, ...Object.entries(changes)]);

  test("rounding is right, and the tensor that differs most is named", () => {
    const check = differences(expected, found({ "gradient of a": [0.5, -1.00001], "gradient of b": [0.01, 0.020001] }));
    expect(check.map(({ name }) => name)).toEqual(["losses", "gradient of b"]);
    expect(check[1]!.relative).toBeCloseTo(5e-5, 8);
    expect(right(check)).toBe(true);
  });

  test.each([
    ["a term is wrong", { "gradient of b": [0.01, 0.0201] }],
    ["something is not a number", { losses: [1, Number.NaN] }],
    ["something has another size", { "gradient of a": [0.5] }],
    ["something is not known", { "gradient of c": [0] }],
  ])("wrong: %s", (_, changes) => {
    expect(right(differences(expected, found(changes)))).toBe(false);
  });

  test("wrong: the device has complained", () => {
    expect(right(differences(expected, expected), ["a buffer is too small"])).toBe(false);
  });
});

test("a linear map goes to [inputs, outputs] and back", () => {
  const weights = new Map([
    ["a.weight", { shape: [2, 1, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) }],
    ["a.bias", { shape: [2], data: Float32Array.of(7, 8) }],
  ]);
  const { weight } = linearOf({ weights }, "a");
  expect(weight.shape).toEqual([3, 2]);
  expect([...weight.data]).toEqual([1, 4, 2, 5, 3, 6]);
  expect([...asStored("a.weight", weight.data, { weights })]).toEqual([1, 2, 3, 4, 5, 6]);
});

test("devices, queues and encoders are counted whoever makes them, and memory by what has not been destroyed", async () => {
  class GPUBuffer {
    constructor(readonly size: number) {}
    destroy() {}
  }
  class GPUQueue {
    submit() {}
  }
  class GPUComputePassEncoder {
    dispatchWorkgroups() {}
    dispatchWorkgroupsIndirect() {}
  }
  class GPUDevice {
    readonly queue = new GPUQueue();
    complain: ((event: { error: { message: string } }) => void) | undefined;
    createBuffer({ size }: { size: number }) {
      return new GPUBuffer(size);
    }
    createComputePipeline() {}
    createComputePipelineAsync() {}
    addEventListener(_: string, listener: (event: { error: { message: string } }) => void) {
      this.complain = listener;
    }
  }
  class GPUAdapter {
    requestDevice() {
      return Promise.resolve(new GPUDevice());
    }
  }
  class GPU {
    requestAdapter() {
      return Promise.resolve(new GPUAdapter());
    }
  }
  const { read, errors } = countGpu({ GPU, GPUAdapter, GPUDevice, GPUQueue, GPUBuffer, GPUComputePassEncoder });
  const device = await (await new GPU().requestAdapter()).requestDevice();
  const first = device.createBuffer({ size: 100 });
  first.destroy();
  first.destroy();
  device.createBuffer({ size: 60 });
  device.createComputePipeline();
  device.createComputePipelineAsync();
  new GPUComputePassEncoder().dispatchWorkgroups();
  device.queue.submit();
  device.complain?.({ error: { message: "out of range" } });
  expect(read()).toEqual({ dispatches: 1, submits: 1, pipelines: 2, buffers: 2, bytes: 60, peakBytes: 100 });
  expect(errors).toEqual(["out of range"]);
});
