/**
 * From a bundle and a device to everything that a session uses: checks first, then the memory plan, and only when all of that holds
 * the first byte on the device. Pipelines compile while constants are uploaded.
 */
import { fold, gridOf, rowLimit, uniformWords } from "../program/grid.js";
import { type MemoryPlan, memoryPlan } from "../program/memory.js";
import { type Layout, PackError, pack } from "../program/pack.js";
import type { Bundle, Program, Variant } from "../program/program.js";
import { evaluate } from "../program/size.js";
import { validate, validateLayout } from "../program/validate.js";
import { allocateSlabs, Writer, writeUniforms } from "./buffers.js";
import { checkDevice, type DeviceFacts, deviceFacts, selectVariant, type VariantChoice } from "./device.js";
import { binarySize, DitRuntimeError } from "./errors.js";
import { type Guard, guard } from "./guard.js";
import { type MadePipeline, makePipelines } from "./pipelines.js";
import { Readback } from "./readback.js";
import { encodeSteps, type RecordedSegment, Runner, type Step } from "./runner.js";
import type { Prepared, SessionOptions } from "./session.js";

const DAMAGED = "the bundle is damaged or was not made by dit-compile: compile it again";

export async function prepare(bundle: Bundle, device: GPUDevice, options: SessionOptions): Promise<Prepared> {
  const { program } = bundle;
  const log = options.log ?? (() => {});
  refuse("the program is not valid", validate(program, bundle.wgsl, bundle.constants.byteLength));
  const facts = deviceFacts(device);
  checkDevice(program, facts);
  const layout = plan(program, facts, options);
  const memory = memoryPlan(program, layout);
  checkMemory(memory, options.memoryLimit);
  log(`memory: ${memoryText(memory)}`);

  const chosen = new Map<number, Variant>();
  const variants: VariantChoice[] = [];
  for (const id of usedKernels(program, layout)) {
    const kernel = program.kernels[id]!;
    const { variant, why } = selectVariant(kernel, program, facts);
    chosen.set(id, variant);
    variants.push({ kernel: kernel.name, variant: variant.name, why });
    log(`kernel ${kernel.name}: variant ${variant.name} (${why})`);
  }

  const watch = guard(device);
  const made: { destroy(): void }[] = [];
  const release = () => {
    watch.release();
    for (const buffer of made) buffer.destroy();
    options.onDispose?.();
  };
  try {
    const requests = [...chosen].map(([id, variant]) => {
      return { kernel: program.kernels[id]!, variant, text: bundle.wgsl[variant.file]! };
    });
    const compiling = makePipelines(device, watch, requests, (done) => {
      options.onProgress?.({ stage: "pipelines", done, total: requests.length });
    });
    compiling.catch(() => {});
    const slabs = await allocateSlabs(device, watch, layout);
    made.push(...slabs);
    const writer = new Writer(device, watch);
    await uploadConstants(bundle, layout, slabs, writer);
    const readback = await watch.scoped("the staging buffer", () => new Readback(device, watch, memory.staging));
    made.push({ destroy: () => readback.dispose() });
    const list = await compiling;
    const pipelines = new Map([...chosen.keys()].map((id, i) => [id, list[i]!]));
    const { entries, uniforms } = await bind(device, watch, program, layout, chosen, pipelines, slabs, facts);
    made.push(uniforms);
    for (const [name, segments] of entries) await rehearse(device, watch, name, segments);
    const runner = new Runner(device, watch, options.submitBudgetMs);
    return { program, layout, guard: watch, slabs, entries, runner, readback, writer, variants, memory, release };
  } catch (error) {
    release();
    throw error;
  }
}

function refuse(what: string, problems: readonly string[]): void {
  if (problems.length === 0) return;
  const shown = problems.slice(0, 8).map((problem) => `\n  ${problem}`);
  const more = problems.length > 8 ? `\n  and ${problems.length - 8} more` : "";
  throw new DitRuntimeError("DIT6001", `${what}:${shown.join("")}${more}`, DAMAGED);
}

function plan(program: Program, facts: DeviceFacts, options: SessionOptions): Layout {
  const limits = facts.limits as Readonly<Record<string, number>>;
  const batch = options.batch ?? program.batch;
  try {
    const layout = pack(program, batch, { limits, ...(options.entries ? { entries: options.entries } : {}) });
    refuse("the memory plan breaks a rule", validateLayout(program, layout, batch, limits));
    return layout;
  } catch (error) {
    if (!(error instanceof PackError)) throw error;
    throw new DitRuntimeError(error.reason === "limit" ? "DIT6003" : "DIT6004", error.message, undefined, { cause: error });
  }
}

const memoryText = ({ total, byKind, uniforms, staging }: MemoryPlan): string => {
  const parts = [...Object.entries(byKind), ["uniforms", uniforms] as const, ["staging", staging] as const];
  return `${binarySize(total)} (${parts.map(([kind, bytes]) => `${kind} ${binarySize(bytes)}`).join(", ")})`;
};

/** Drivers do not always refuse what they cannot give; so the plan is held against the limit before anything is asked for. */
function checkMemory(memory: MemoryPlan, limit: number | undefined): void {
  if (limit === undefined || memory.total <= limit) return;
  throw new DitRuntimeError(
    "DIT6003",
    `the plan needs ${memoryText(memory)} of GPU memory, ${binarySize(limit)} may be used`,
    "a smaller batch or fewer entries need less",
  );
}

const entriesOf = (program: Program, layout: Layout) => program.entries.filter((entry) => layout.entries.includes(entry.name));
const dispatchesOf = (program: Program, layout: Layout) =>
  entriesOf(program, layout).flatMap((entry) => entry.segments.flatMap((segment) => segment.dispatches));
const usedKernels = (program: Program, layout: Layout): number[] =>
  [...new Set(dispatchesOf(program, layout).map((dispatch) => dispatch.kernel))].sort((a, b) => a - b);

async function uploadConstants(bundle: Bundle, layout: Layout, slabs: readonly GPUBuffer[], writer: Writer): Promise<void> {
  for (const { shape, offset, storage } of bundle.program.constants) {
    const place = storage === undefined ? undefined : layout.places[storage];
    if (!place) continue;
    const bytes = shape.reduce((a, b) => a * b, 4);
    await writer.write(slabs[place.slab]!, place.offset, bundle.constants.subarray(offset, offset + bytes));
  }
}

/** Uniforms and bind groups of every dispatch of the loaded entries. */
async function bind(
  device: GPUDevice,
  watch: Guard,
  program: Program,
  layout: Layout,
  chosen: ReadonlyMap<number, Variant>,
  pipelines: ReadonlyMap<number, MadePipeline>,
  slabs: readonly GPUBuffer[],
  facts: DeviceFacts,
): Promise<{ entries: Map<string, RecordedSegment[]>; uniforms: GPUBuffer }> {
  const limit = rowLimit(program, facts.limits as Readonly<Record<string, number>>);
  const dispatches = dispatchesOf(program, layout);
  const grids = dispatches.map((dispatch) => {
    // A size that is zero at this batch leaves nothing to do.
    const empty = dispatch.extent.some((size) => evaluate(size, layout.batch) === 0);
    return empty ? { ...fold(0), x: 0 } : gridOf(dispatch, chosen.get(dispatch.kernel)!, layout.batch, limit);
  });
  const words = dispatches.map((d, i) => uniformWords(d, program.kernels[d.kernel]!, grids[i]!, layout.batch));
  const uniforms = await writeUniforms(device, watch, words);
  const steps = await watch.scoped("bind groups", () =>
    dispatches.map((dispatch, i): Step => {
      const { pipeline, layout: groupLayout } = pipelines.get(dispatch.kernel)!;
      const storages = dispatch.bindings.map((id, binding): GPUBindGroupEntry => {
        const { slab, offset, bytes } = layout.places[id]!;
        return { binding, resource: { buffer: slabs[slab]!, offset, size: bytes } };
      });
      const own = { buffer: uniforms.buffer, offset: uniforms.offsets[i]!, size: words[i]!.byteLength };
      const entries = [...storages, { binding: storages.length, resource: own }];
      const group = device.createBindGroup({ label: dispatch.label, layout: groupLayout, entries });
      return { pipeline, group, x: grids[i]!.x, y: grids[i]!.y, label: dispatch.label };
    }),
  );
  const entries = new Map<string, RecordedSegment[]>();
  let next = 0;
  for (const entry of entriesOf(program, layout)) {
    const segments = entry.segments.map(({ repeat, dispatches: list }): RecordedSegment => {
      const own = steps.slice(next, next + list.length);
      next += list.length;
      return { repeat, steps: own, costs: new Float64Array(own.length).fill(Number.NaN) };
    });
    entries.set(entry.name, segments);
  }
  return { entries, uniforms: uniforms.buffer };
}

/** Encodes an entry without submitting it: what the device would refuse shows now, and the culprit can be named. */
async function rehearse(device: GPUDevice, watch: Guard, name: string, segments: readonly RecordedSegment[]): Promise<void> {
  const attempt = (label: string, steps: readonly Step[]) =>
    watch.scoped(label, () => {
      const encoder = device.createCommandEncoder({ label });
      const pass = encoder.beginComputePass({ label });
      encodeSteps(pass, steps);
      pass.end();
      encoder.finish();
    });
  const steps = segments.flatMap((segment) => segment.steps);
  try {
    await attempt(`entry ${name}`, steps);
  } catch (error) {
    watch.check();
    for (const step of steps) await attempt(`${name}: "${step.label}"`, [step]);
    throw error;
  }
}
