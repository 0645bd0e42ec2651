/**
 * Pipelines: one for each text that the kernels of the loaded entries have on this device, all asked for at once, so that a driver compiles them
 * in parallel. Kernels whose texts differ for other devices alone share one.
 *
 * Layouts are explicit. An automatic one drops bindings that a kernel does not look at, and bind groups could not be shared; with
 * explicit layouts all kernels of one signature have one layout.
 */
import type { Access, Kernel, Variant } from "../program/program.js";
import { DitRuntimeError, errorText } from "./errors.js";
import type { Guard } from "./guard.js";

/** GPUShaderStage.COMPUTE; the named constant is a global only in browsers. */
const COMPUTE = 4;
const MESSAGES_SHOWN = 5;

export interface PipelineRequest {
  readonly kernel: Kernel;
  readonly variant: Variant;
  readonly text: string;
}

export interface MadePipeline {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** Pipelines in the order of the requests. `onMade` counts them as they come. */
export async function makePipelines(
  device: GPUDevice,
  guard: Guard,
  requests: readonly PipelineRequest[],
  onMade: (done: number) => void = () => {},
): Promise<MadePipeline[]> {
  const layouts = new Map<string, { group: GPUBindGroupLayout; pipeline: GPUPipelineLayout }>();
  const layoutOf = (kernel: Kernel) => {
    const { access, words } = kernel;
    const key = layoutKey(kernel);
    const known = layouts.get(key);
    if (known) return known;
    const group = device.createBindGroupLayout({ label: key, entries: layoutEntries(access, words) });
    const made = { group, pipeline: device.createPipelineLayout({ label: key, bindGroupLayouts: [group] }) };
    layouts.set(key, made);
    return made;
  };

  let done = 0;
  const one = async (request: PipelineRequest): Promise<MadePipeline> => {
    const label = labelOf(request);
    const made = await guard
      .scoped(label, () => {
        const layout = layoutOf(request.kernel);
        const module = device.createShaderModule({ label, code: request.text });
        const compute = { module, entryPoint: "main" };
        const pipeline = device.createComputePipelineAsync({ label, layout: layout.pipeline, compute });
        // It is awaited below; until then its failure must not count as unhandled.
        pipeline.catch(() => {});
        return { layout: layout.group, pipeline, module };
      })
      .catch(async (error: unknown) => {
        // The scope knows only that the module is bad. What is wrong with it, and where, the module says.
        guard.check();
        throw await explained(device, request, error);
      });
    const pipeline = await made.pipeline.catch(async (error: unknown) => {
      guard.check();
      throw await explained(device, request, error, made.module);
    });
    return { pipeline, layout: made.layout };
  };
  const shared = new Map<string, Promise<MadePipeline>>();
  const results = await Promise.allSettled(
    requests.map(async (request) => {
      const key = pipelineKey(request);
      const making = shared.get(key) ?? one(request);
      shared.set(key, making);
      const made = await making;
      onMade(++done);
      return made;
    }),
  );
  guard.check();
  return results.map((result) => {
    if (result.status === "rejected") throw result.reason;
    return result.value;
  });
}

/** Requests that are alike in this share a pipeline. */
export const pipelineKey = ({ kernel, text }: PipelineRequest): string => `${layoutKey(kernel)}\n${text}`;

const layoutKey = ({ access, words }: Kernel): string => `${access.join()} ${words}`;

const labelOf = ({ kernel, variant }: PipelineRequest): string =>
  kernel.variants.length > 1 ? `${kernel.name} (${variant.name})` : kernel.name;

function layoutEntries(access: readonly Access[], words: number): GPUBindGroupLayoutEntry[] {
  const storages = access.map((mode, binding): GPUBindGroupLayoutEntry => {
    return { binding, visibility: COMPUTE, buffer: { type: mode === "read" ? "read-only-storage" : "storage" } };
  });
  const uniform: GPUBufferBindingLayout = { type: "uniform", minBindingSize: words * 4 };
  return [...storages, { binding: access.length, visibility: COMPUTE, buffer: uniform }];
}

/** The compiler's own messages, with places in the kernel's file. */
async function explained(
  device: GPUDevice,
  request: PipelineRequest,
  error: unknown,
  module?: GPUShaderModule,
): Promise<DitRuntimeError> {
  const { kernel, variant, text } = request;
  const messages = await compilationErrors(device, text, module);
  const details = messages.map(({ lineNum, linePos, message }) => `\n  ${variant.file}:${lineNum}:${linePos}: ${message}`);
  const said = details.length > 0 ? details.slice(0, MESSAGES_SHOWN).join("") : ` ${errorText(error)}`;
  return new DitRuntimeError(
    "DIT6005",
    `kernel "${kernel.name}", variant "${variant.name}", was refused by the device:${said}`,
    "compile with --safe to run on the plainest kernels, and report this",
    { cause: error },
  );
}

async function compilationErrors(device: GPUDevice, text: string, known?: GPUShaderModule): Promise<GPUCompilationMessage[]> {
  let module = known;
  if (!module) {
    device.pushErrorScope("validation");
    module = device.createShaderModule({ code: text });
    await device.popErrorScope();
  }
  const { messages } = await module.getCompilationInfo();
  return messages.filter(({ type }) => type === "error");
}
