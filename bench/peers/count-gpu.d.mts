export interface GpuCounter {
  read(): Record<"dispatches" | "submits" | "pipelines" | "buffers" | "bytes" | "peakBytes", number>;
  /** Messages of errors that the devices have reported. */
  readonly errors: readonly string[];
}

/** WebGPU's classes by their names: `GPUDevice` and the others. */
export function countGpu(classes: Readonly<Record<string, { readonly prototype: object }>>): GpuCounter;
