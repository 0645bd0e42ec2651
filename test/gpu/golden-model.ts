/**
 * The golden data, computed by PyTorch in f64, against what the compiled program computes on this adapter: forward, loss, every gradient,
 * five AdamW steps with EMA, two sampling runs. Tolerances are the manifest's. `--target web` has variants, and so runs on every adapter;
 * `minimum` has none, and runs once for each driver.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Compiled, compile } from "../../src/compile/compile.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { createSession, type Session } from "../../src/runtime/session.js";
import { golden } from "../golden.js";

type Target = "web" | "minimum";

/** Declares the tests for one target. */
export function goldens(target: Target): void {
  const file = golden("model_adaln_zero");
  const sampling = golden("sampling");
  const tiny = ["draws=inputs", "emaWarmup=off"];

  let dawn: DawnDevice;
  beforeAll(async () => {
    dawn = await requestDevice();
  });
  afterAll(() => {
    // What ran where: the variants that this adapter took, by kernel family and target.
    for (const [line, count] of taken)
      console.log(`${process.env.DIT_TEST_PROJECT} (${dawn.info.description}): ${line}, ${count} kernels`);
    dawn.dispose();
  });

  /** "target web: matmul as subgroup-8" and how many kernels. */
  const taken = new Map<string, number>();

  const compiled = new Map<string, Promise<Compiled>>();
  function program(...set: string[]): Promise<Compiled> {
    const key = set.join(" ");
    let known = compiled.get(key);
    if (!known) {
      known = compile("models/dit.graph.ts", { preset: "tiny", set: [...tiny, ...set], target, batch: 4 });
      compiled.set(key, known);
    }
    return known;
  }

  async function open(entry: string, batch: number, ...set: string[]): Promise<Session> {
    const { bundle } = await program(...set);
    const session = await createSession(bundle, dawn.device, { batch, entries: [entry] });
    for (const { kernel, variant } of session.variants) {
      const family = bundle.program.kernels.find((k) => k.name === kernel)?.family;
      const line = `target ${target}: ${family} as ${variant}`;
      taken.set(line, (taken.get(line) ?? 0) + 1);
    }
    return session;
  }

  async function writeWeights(session: Session, prefixes: readonly string[]): Promise<void> {
    for (const [name, stored] of file.weights()) {
      const data = stored.data as Float32Array;
      for (const prefix of prefixes) {
        if (name === "pos_embed" && prefix !== "" && prefix !== "p.") continue;
        await session.write(prefix + name, data);
      }
    }
  }

  const differences = (checks: readonly (string | undefined)[]): string[] => checks.filter((c) => c !== undefined);

  describe(`target ${target}`, () => {
    test("forward", async () => {
      const session = await open("forward", 4);
      await writeWeights(session, [""]);
      const inputs = { x: file.f32("forward/x"), t: file.i32("forward/t"), y: file.i32("forward/y") };
      const first = await session.run("forward", inputs);
      expect(file.check("forward/out", first.out as Float32Array)).toBeUndefined();
      for (let i = 2; i <= 10; i++) {
        const again = await session.run("forward", inputs);
        if (i === 2 || i === 10) expect(again.out).toEqual(first.out);
      }
      session.dispose();
    });

    test("loss and all gradients", async () => {
      const session = await open("loss_and_grad", 4);
      await writeWeights(session, [""]);
      const out = await session.run("loss_and_grad", {
        x_start: file.f32("loss/x0"),
        t: file.i32("loss/t"),
        y: file.i32("loss/y"),
        noise: file.f32("loss/noise"),
      });
      const names = Object.keys(out).filter((name) => name.startsWith("grad."));
      expect(names.length).toBe(file.weights().size - 1);
      expect(
        differences([
          file.check("loss/mse", out.mse as Float32Array),
          file.check("loss/vb", out.vb as Float32Array),
          ...names.map((name) => file.check(`loss/d.${name.slice(5)}`, out[name] as Float32Array)),
        ]),
      ).toEqual([]);
      const mean = file.f32("loss/loss").reduce((a, b) => a + b, 0) / 4;
      expect(Math.abs((out.loss as Float32Array)[0]! - mean)).toBeLessThan(file.tolerance("loss/loss").atol!);
      session.dispose();
    });

    test.each([0.9, 0.9999])("five AdamW steps, EMA %d", async (decay) => {
      const session = await open("train_step", 4, `emaDecay=${decay}`);
      await writeWeights(session, ["p.", "ema."]);
      const [x0, noise] = [file.f32("train/x0"), file.f32("train/noise")];
      const [t, y, drop] = [file.i32("train/t"), file.i32("train/y"), file.i32("train/drop")];
      const losses: number[] = [];
      const size = x0.length / 5;
      for (let step = 0; step < 5; step++) {
        const out = await session.run("train_step", {
          x_start: x0.slice(step * size, (step + 1) * size),
          "draw.noise": noise.slice(step * size, (step + 1) * size),
          "draw.t": t.slice(step * 4, step * 4 + 4),
          "draw.drop": drop.slice(step * 4, step * 4 + 4),
          y: y.slice(step * 4, step * 4 + 4),
        });
        losses.push((out.loss as Float32Array)[0]!);
      }
      const names = [...file.weights().keys()].filter((name) => name !== "pos_embed");
      const state = await session.read(names.flatMap((name) => ["p", "m", "v", "ema"].map((set) => `${set}.${name}`)));
      expect(
        differences([
          file.check("train/losses", Float32Array.from(losses)),
          ...names.flatMap((name) => [
            file.check(`train/w5.${name}`, state[`p.${name}`] as Float32Array),
            file.check(`train/m5.${name}`, state[`m.${name}`] as Float32Array),
            file.check(`train/v5.${name}`, state[`v.${name}`] as Float32Array),
            file.check(`train/ema${decay}.${name}`, state[`ema.${name}`] as Float32Array),
          ]),
        ]),
      ).toEqual([]);
      session.dispose();
    });

    const width = process.env.DIT_TEST_SUBGROUP;
    test.runIf(width)("the variant is the target's and the adapter's", async () => {
      const { variants, dispose } = await open("forward", 4).then((s) => ({
        variants: s.variants,
        dispose: () => s.dispose(),
      }));
      const subgroup = variants.filter((v) => v.variant.startsWith("subgroup-")).map((v) => v.variant);
      expect([...new Set(subgroup)]).toEqual(target === "web" ? [`subgroup-${width}`] : []);
      dispose();
    });

    test("DDIM 10, guidance 1.5 on all channels", async () => {
      const session = await open("sample_step", 2, "sampler=ddim", "respacing=ddim10", "guidance=1.5", "guidedChannels=4");
      await writeWeights(session, [""]);
      await session.write("x", file.f32("ddim10/z"));
      await session.write("step", Int32Array.of(0));
      const steps: number[] = [];
      for (let k = 0; k < 10; k++)
        steps.push(...((await session.run("sample_step", { y: file.i32("ddim10/y") })).x as Float32Array));
      expect(file.check("ddim10/x", Float32Array.from(steps))).toBeUndefined();
      session.dispose();
    });

    test("DDPM 20 without guidance", async () => {
      const session = await open("sample_step", 2, "sampler=ddpm", "respacing=20", "guidance=1");
      await writeWeights(session, [""]);
      await session.write("x", sampling.f32("ddpm20/z"));
      await session.write("step", Int32Array.of(0));
      const noise = sampling.f32("ddpm20/noise");
      const size = noise.length / 20;
      const steps: number[] = [];
      for (let k = 0; k < 20; k++) {
        const out = await session.run("sample_step", {
          y: sampling.i32("ddpm20/y"),
          "draw.noise": noise.slice(k * size, (k + 1) * size),
        });
        steps.push(...(out.x as Float32Array));
      }
      expect(sampling.check("ddpm20/x", Float32Array.from(steps))).toBeUndefined();
      session.dispose();
    });
  });
}
