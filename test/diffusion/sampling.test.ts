/** What sampling costs, by the compiled program and its plan: forwards, dispatches, kernels and memory. */
import { describe, expect, test } from "vitest";
import { type Compiled, compile } from "../../src/compile/compile.js";
import { samplers } from "../../src/diffusion/reverse-step.js";

const known = new Map<string, Promise<Compiled>>();
function compiled(sampler: string, steps: number, guidance = 4): Promise<Compiled> {
  const set = [`sampler=${sampler}`, `respacing=${steps}`, `guidance=${guidance}`];
  const key = set.join(" ");
  const made =
    known.get(key) ??
    compile("models/dit.graph.ts", { preset: "tiny", set, batch: 2, entries: ["forward", "sample_step", "sample"] });
  known.set(key, made);
  return made;
}

describe.each(samplers)("%s", (sampler) => {
  test("guidance 1 costs one forward, another scale two in the same dispatches", async () => {
    const costs = async (guidance: number) => {
      const { report } = await compiled(sampler, 10, guidance);
      const [forward, step, whole] = report.entries;
      expect(whole!.macs).toBe(10 * step!.macs);
      // The reverse step takes the place of the forward's last kernel; beside it is the counter.
      expect(step!.dispatches).toBe(forward!.dispatches + 1);
      return step!.macs / forward!.macs;
    };
    expect([await costs(1), await costs(4)]).toEqual([1, 2]);
  });

  test("250 steps are the kernels of 10 and need their memory, but for a longer table", async () => {
    const [few, many] = [await compiled(sampler, 10), await compiled(sampler, 250)];
    expect(many.bundle.wgsl).toEqual(few.bundle.wgsl);
    const [short, long] = [few.report.entries[2]!, many.report.entries[2]!];
    expect([short.dispatches - 2, long.dispatches - 2]).toEqual([
      10 * (short.distinctDispatches - 2),
      25 * (short.dispatches - 2),
    ]);
    const { constant: small, ...rest } = short.peakBytes;
    expect(long.peakBytes).toEqual({ constant: long.peakBytes.constant, ...rest });
    // A row of eight numbers and a timestep at most; tables begin at multiples of 256 bytes.
    const more = long.peakBytes.constant! - small!;
    expect(more).toBeGreaterThan(0);
    expect(more).toBeLessThanOrEqual(240 * 9 * 4 + 2 * 256);
  });

  test("x0 costs no kernel: the one that writes x writes it too", async () => {
    const { program } = (await compiled(sampler, 10)).bundle;
    for (const { name, outputs, segments } of program.entries.slice(1)) {
      const storage = (wanted: string) => outputs.find((port) => port.name === wanted)!.storage;
      const { dispatches } = segments.at(-1)!;
      const touching = dispatches.filter(({ bindings }) => bindings.includes(storage("x0")));
      expect(touching, name).toHaveLength(1);
      const { kernel, bindings } = touching[0]!;
      for (const output of ["x", "x0"]) {
        expect(program.kernels[kernel]!.access[bindings.indexOf(storage(output))], `${name}: ${output}`).toBe("read_write");
      }
    }
  });
});
