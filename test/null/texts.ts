/** WGSL texts before Dawn's compiler, with no driver behind it. */
import type { Bundle } from "../../src/program/program.js";
import type { PipelineRequest } from "../../src/runtime/pipelines.js";

export const everyVariant = ({ program, wgsl }: Bundle): PipelineRequest[] =>
  program.kernels.flatMap((kernel) => kernel.variants.map((variant) => ({ kernel, variant, text: wgsl[variant.file]! })));

/** Errors, warnings and notes of Dawn's compiler, with the line that they are about. */
export async function messages(device: GPUDevice, { variant, text }: PipelineRequest): Promise<string[]> {
  device.pushErrorScope("validation");
  const info = await device.createShaderModule({ code: text }).getCompilationInfo();
  const error = await device.popErrorScope();
  const lines = info.messages.map(
    (m) => `${variant.file}:${m.lineNum}: ${m.type}: ${m.message}: ${text.split("\n")[m.lineNum - 1]}`,
  );
  return error && lines.length === 0 ? [`${variant.file}: ${error.message}`] : lines;
}
