/**
 * Asks Dawn for an adapter and describes it. A driver that Dawn refuses can take the process with it, so this always runs in a
 * short child process. The function travels there as text (see driver.ts), the same from source and from dist: it uses nothing
 * from outside its own body.
 */

/** One adapter as Dawn sees it; also the body of a limits profile. */
export interface AdapterReport {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  readonly isFallbackAdapter: boolean;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  /** Absent where the adapter has no subgroups. */
  readonly subgroupMinSize?: number;
  readonly subgroupMaxSize?: number;
  /** What its matrix units multiply; absent where it has none, or Dawn was not told to allow unsafe APIs. */
  readonly subgroupMatrixConfigs?: readonly Readonly<Record<string, string | number>>[];
}

/**
 * What Dawn is told besides its defaults: DIT_COMPILE_DAWN names toggles to enable, `vulkan_enable_f16_on_nvidia` for one, without which
 * NVIDIA's driver on Linux has no shader-f16, and `allow_unsafe_apis`, without which Dawn has no matrix units.
 */
export const dawnSettings = ({ DIT_COMPILE_DAWN: toggles }: NodeJS.ProcessEnv): string[] =>
  toggles ? [`enable-dawn-features=${toggles}`] : [];

export async function probe(create: (options: string[]) => GPU, settings: string[]): Promise<void> {
  const gpu = create(settings);
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  let report: AdapterReport | null = null;
  if (adapter) {
    const { vendor, architecture, device, description, isFallbackAdapter, subgroupMinSize, subgroupMaxSize } = adapter.info;
    const limits: Record<string, number> = {};
    for (const name in adapter.limits) {
      const value = (adapter.limits as unknown as Record<string, unknown>)[name];
      if (typeof value === "number") limits[name] = value;
    }
    const features = [...adapter.features].sort();
    report = { vendor, architecture, device, description, isFallbackAdapter, features, limits };
    if (features.includes("subgroups"))
      report = { ...report, subgroupMinSize: subgroupMinSize ?? 0, subgroupMaxSize: subgroupMaxSize ?? 0 };
    const { subgroupMatrixConfigs: matrices = [] } = adapter.info as unknown as AdapterReport;
    const plain = matrices.map(({ componentType = "", resultComponentType = "", M = 0, N = 0, K = 0 }) => {
      return { componentType, resultComponentType, M, N, K };
    });
    if (plain.length > 0) report = { ...report, subgroupMatrixConfigs: plain };
  }
  process.stdout.write(`\n${JSON.stringify(report)}\n`);
}
