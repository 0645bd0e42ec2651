/**
 * A WebGPU device in Node, through Dawn. Dawn's objects must outlive everything made from them: an instance or adapter that the
 * garbage collector takes while a software driver still works, or while a callback of the binding still waits in the event loop, ends
 * or blocks the process. So an instance lives as long as the process, and each device is pinned here until `dispose`.
 */
import { fail } from "../../diagnostics/diagnostic.js";
import { MATRICES } from "../../program/program.js";
import { rememberInfo } from "../device.js";
import { type DriverKind, driverVariable, kindOf } from "./driver.js";
import { leaveTheCores, mendPolling } from "./polling.js";
import { dawnSettings } from "./probe.js";

export interface DeviceOptions {
  /** Refuse any other kind of adapter than this; by default, than the one that this process was started for (`ensureDriver`). */
  readonly driver?: DriverKind;
  /** Exactly these features; by default all useful ones that the adapter offers. */
  readonly features?: readonly GPUFeatureName[];
  /** Exactly these limits; by default the adapter's own. */
  readonly limits?: Readonly<Record<string, number>>;
  readonly powerPreference?: GPUPowerPreference;
  /** "null" validates everything and computes nothing; it needs no driver. */
  readonly backend?: "null";
}

export interface DawnDevice {
  readonly gpu: GPU;
  readonly adapter: GPUAdapter;
  readonly device: GPUDevice;
  readonly info: GPUAdapterInfo;
  readonly kind: DriverKind | "null";
  /** GPUBufferUsage, GPUMapMode and the other names that a browser has on globalThis. */
  readonly globals: DawnGlobals;
  /** Destroys the device and lets Dawn go; until then the process does not lose them. */
  dispose(): void;
}

export type DawnGlobals = Pick<typeof globalThis, "GPUBufferUsage" | "GPUMapMode" | "GPUShaderStage" | "GPUTextureUsage"> &
  Record<string, unknown>;

/** Features that kernels have variants for, and the clock. */
export const usefulFeatures = ["shader-f16", "subgroups", MATRICES, "timestamp-query"] as readonly GPUFeatureName[];

/** Limits that a compute program runs into. */
export const computeLimits = [
  "maxBindGroups",
  "maxBindingsPerBindGroup",
  "maxBufferSize",
  "maxComputeInvocationsPerWorkgroup",
  "maxComputeWorkgroupSizeX",
  "maxComputeWorkgroupSizeY",
  "maxComputeWorkgroupSizeZ",
  "maxComputeWorkgroupsPerDimension",
  "maxComputeWorkgroupStorageSize",
  "maxStorageBufferBindingSize",
  "maxStorageBuffersPerShaderStage",
  "maxUniformBufferBindingSize",
  "maxUniformBuffersPerShaderStage",
  "minStorageBufferOffsetAlignment",
  "minUniformBufferOffsetAlignment",
] as const;

const pinned = new Set<readonly [GPUAdapter, GPUDevice]>();
/** By their settings; never given up, because the binding asks them for events even after their last promise. */
const instances = new Map<string, GPU>();

export async function requestDevice(options: DeviceOptions = {}): Promise<DawnDevice> {
  mendPolling();
  const { create, globals } = await import("webgpu");
  // Timestamps are rounded to 0.1 ms against spying by pages; a profiler in Node wants them as they are.
  const settings = ["disable-dawn-features=timestamp_quantization", ...dawnSettings(process.env)];
  const gpu = instanceFor(create, options.backend ? [...settings, `backend=${options.backend}`] : settings);
  const adapter = await gpu.requestAdapter({ powerPreference: options.powerPreference ?? "high-performance" });
  if (!adapter) {
    const driver = process.env[driverVariable];
    return fail("DIT5001", `Dawn finds no GPU adapter${driver ? ` in the ${driver} driver that was chosen` : ""}`, {
      help: "npx dit-compile doctor --fetch",
    });
  }
  const { info } = adapter;
  const kind = options.backend ?? kindOf(info);
  if (kind !== "hardware" && kind !== "null") leaveTheCores();
  const wanted = options.driver ?? process.env[driverVariable];
  if (wanted && !options.backend && kind !== wanted) {
    return fail("DIT5001", `this process runs on ${kind} (${info.description}), not on ${wanted}`, {
      help: `npx dit-compile doctor lists the drivers of this machine; ${driverVariable} and VK_ICD_FILENAMES choose one`,
    });
  }
  const requiredFeatures = options.features ?? usefulFeatures.filter((feature) => adapter.features.has(feature));
  const missing = requiredFeatures.filter((feature) => !adapter.features.has(feature));
  if (missing.length > 0) {
    return fail("DIT5004", `${info.description} does not offer ${missing.join(", ")}`, {
      help: "compile with --target web, whose programs choose among what an adapter has",
    });
  }
  const requiredLimits = options.limits ?? Object.fromEntries(computeLimits.map((name) => [name, adapter.limits[name]]));
  const device = await adapter.requestDevice({ requiredFeatures, requiredLimits });
  rememberInfo(device, info);
  const pin = [adapter, device] as const;
  pinned.add(pin);
  const dispose = () => {
    if (pinned.delete(pin)) device.destroy();
  };
  return { gpu, adapter, device, info, kind, globals: globals as DawnGlobals, dispose };
}

function instanceFor(create: (settings: string[]) => GPU, settings: string[]): GPU {
  const key = settings.join();
  const gpu = instances.get(key) ?? create(settings);
  instances.set(key, gpu);
  return gpu;
}
