/**
 * Counts what a device is asked to do, by WebGPU's own names: "createBuffer", "submit", "mapAsync" … A test or a tool holds two counts
 * against each other: nothing is made after the first step, one submit a step. It puts counting methods onto the objects themselves,
 * because a binding takes no stand-ins for them; `stop` takes them off.
 */
export interface CallCounter {
  /** Calls so far, a copy. */
  counts(): Record<string, number>;
  stop(): void;
}

const deviceCalls = [
  "createBuffer",
  "createBindGroup",
  "createBindGroupLayout",
  "createPipelineLayout",
  "createShaderModule",
  "createComputePipeline",
  "createComputePipelineAsync",
  "createCommandEncoder",
] as const;
const queueCalls = ["submit", "writeBuffer", "onSubmittedWorkDone"] as const;

type Method = (...args: unknown[]) => unknown;

export function countCalls(device: GPUDevice): CallCounter {
  const counts: Record<string, number> = {};
  const undo: (() => void)[] = [];
  const wrap = (object: object, name: string, after?: (result: unknown) => void) => {
    const methods = object as Record<string, Method>;
    const original = methods[name]!;
    methods[name] = (...args) => {
      counts[name] = (counts[name] ?? 0) + 1;
      const result = original.apply(object, args);
      after?.(result);
      return result;
    };
    undo.push(() => delete methods[name]);
  };
  for (const name of deviceCalls) {
    wrap(device, name, (made) => {
      if (name === "createBuffer") wrap(made as object, "mapAsync");
      if (name === "createCommandEncoder") wrap(made as object, "beginComputePass");
    });
  }
  // A device may hand out another queue object each time; this one is held on to.
  const { queue } = device;
  for (const name of queueCalls) wrap(queue, name);
  if (device.queue !== queue) Object.defineProperty(device, "queue", { value: queue, configurable: true });
  return {
    counts: () => ({ ...counts }),
    stop: () => {
      for (const back of undo) back();
    },
  };
}
