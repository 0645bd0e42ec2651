/**
 * The golden data, computed by PyTorch in f64, against what the compiled program computes on this adapter: forward and its gradients, loss
 * and all its gradients, five AdamW steps with EMA, sampling runs. Tolerances are the manifest's. `--target web` has variants, and so runs
 * on every adapter; `minimum` has none, and runs once for each driver. `web` takes all cases on an adapter that stands for its driver; else,
 * and as `minimum`, the loss with its gradients runs, whose kernels are those of all programs but for what they store, and one or two of
 * the other cases, others at each commit.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Compiled, compile } from "../../src/compile/compile.js";
import { timestepTable } from "../../src/diffusion/tables.js";
import { Builder } from "../../src/ir/builder.js";
import type { Module } from "../../src/ir/graph.js";
import { passes } from "../../src/passes/index.js";
import { pipeline } from "../../src/passes/pass.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { createSession, type Session } from "../../src/runtime/session.js";
import { type GoldenFile, golden } from "../golden.js";
import { runModule } from "./run-module.js";
import { sample, whole } from "./sample.js";

type Target = "web" | "minimum";
export type Design = "adaln_zero" | "adaln" | "cross_attention" | "in_context";
const batch = 4;
const steps = 5;

/** Settings of the file's model and of its training, as `--set` takes them. */
function settings(file: GoldenFile): string[] {
  const model = file.config.config as Readonly<Record<string, number | string>>;
  const { lr, betas, eps, weight_decay } = file.cases.train!.params as {
    lr: number;
    betas: number[];
    eps: number;
    weight_decay: number;
  };
  return [
    ...["draws=inputs", "emaWarmup=off", `block=${model.block}`, `hiddenSize=${model.hidden_size}`],
    ...[`learningRate=${lr}`, `beta1=${betas[0]}`, `beta2=${betas[1]}`, `epsilon=${eps}`, `weightDecay=${weight_decay}`],
  ];
}

/** d sum(out · cotangent) for x and every weight: the gradient of a forward pass, without a loss. */
function pullback({ graph }: Compiled): Module {
  const forward = graph.fns.find(({ name }) => name === "forward")!;
  const params = forward.params.map((p) => ({ ...p, kind: "input" as const }));
  const b = new Builder();
  const out = forward.results.find(({ name }) => name === "out")!.value;
  const cotangent = b.param("cotangent", "input", out.type);
  const [weighed] = b.emit("mul", [out, cotangent], {});
  const [sum] = b.emit("sum", [weighed!], { over: out.type.axes });
  const wanted = forward.params.filter(({ name, kind }) => name === "x" || (kind === "parameter" && name !== "pos_embed"));
  const gradients = b.gradient(
    sum!,
    wanted.map((p) => p.value),
  );
  const { nodes } = b.finish("main", []);
  return {
    stage: "graph",
    fns: [
      {
        name: "main",
        params: [...params, ...b.params],
        nodes: [...forward.nodes, ...nodes],
        results: wanted.map(({ name }, i) => ({ name: name === "x" ? "dx" : `d.${name}`, value: gradients[i]! })),
      },
    ],
  };
}

/** Declares the tests of one design for one target. */
export function goldens(target: Target, design: Design = "adaln_zero"): void {
  const file = golden(`model_${design}`);
  const sampling = golden("sampling");
  const set = settings(file);
  const names = [...file.weights().keys()].filter((name) => name !== "pos_embed");

  let dawn: DawnDevice;
  beforeAll(async () => {
    dawn = await requestDevice();
  });
  afterAll(() => {
    // What ran where: the variants that this adapter took, by kernel family and target.
    for (const [line, count] of taken)
      console.log(`${process.env.DIT_TEST_PROJECT} (${dawn.info.description}): ${design}, ${line}, ${count} kernels`);
    dawn.dispose();
  });

  /** "target web: matmul as subgroup-8" and how many kernels. */
  const taken = new Map<string, number>();

  const compiled = new Map<string, Promise<Compiled>>();
  function program(entry: string, ...more: string[]): Promise<Compiled> {
    const key = [entry, ...more].join(" ");
    let known = compiled.get(key);
    if (!known) {
      known = compile("models/dit.graph.ts", { preset: "tiny", set: [...set, ...more], target, batch, entries: [entry] });
      compiled.set(key, known);
    }
    return known;
  }

  async function open(entry: string, batch: number, ...more: string[]): Promise<Session> {
    const { bundle } = await program(entry, ...more);
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
  /** Those results of a case that the file holds; here it is without the largest, see golden.ts. */
  const compared = (results: Readonly<Record<string, ArrayLike<number>>>): string[] => {
    const held = Object.keys(results).filter((name) => file.tensors.has(name));
    expect(held.length).toBeGreaterThan(0);
    return differences(held.map((name) => file.check(name, results[name]!)));
  };

  // What the kernels of a target can change is in the loss and its gradients; other cases add what they store, and a kernel or two.
  const count = !whole ? 1 : target === "minimum" ? 2 : Number.POSITIVE_INFINITY;
  const others = new Map<string, () => Promise<void>>();
  const other = (name: string, run: () => Promise<void>) => void others.set(name, run);

  describe(`target ${target}, ${design}`, () => {
    other("forward", async () => {
      const session = await open("forward", batch);
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

    other("the gradients of a forward pass", async () => {
      const kernels = pipeline(passes, pullback(await program("forward")), {
        options: { maxStorageBuffers: 8, differentiated: true },
      });
      const numbers = (data: ArrayLike<number>) => ({ data: Float64Array.from(data) });
      const values = new Map([
        ...[...file.weights()].map(([name, { data }]) => [name, numbers(data as Float32Array)] as const),
        ...["x", "t", "y", "cotangent"].map((name) => [name, numbers(file.get(`forward/${name}`).data as Float32Array)] as const),
        ["timestep_features", numbers(timestepTable())] as const,
      ]);
      const got = await runModule(kernels, values, dawn, { batch, variants: target === "web" });
      expect(Object.keys(got)).toHaveLength(names.length + 1);
      expect(compared(Object.fromEntries(Object.entries(got).map(([name, data]) => [`forward/${name}`, data])))).toEqual([]);
    });

    test("loss and all gradients", async () => {
      const session = await open("loss_and_grad", batch);
      await writeWeights(session, [""]);
      const out = await session.run("loss_and_grad", {
        x_start: file.f32("loss/x0"),
        t: file.i32("loss/t"),
        y: file.i32("loss/y"),
        noise: file.f32("loss/noise"),
      });
      const grads = Object.keys(out).filter((name) => name.startsWith("grad."));
      expect(grads.toSorted()).toEqual(names.map((name) => `grad.${name}`).toSorted());
      expect(
        differences([
          file.check("loss/mse", out.mse as Float32Array),
          file.check("loss/vb", out.vb as Float32Array),
          ...grads.map((name) => file.check(`loss/d.${name.slice(5)}`, out[name] as Float32Array)),
        ]),
      ).toEqual([]);
      const mean = file.f32("loss/loss").reduce((a, b) => a + b, 0) / batch;
      expect(Math.abs((out.loss as Float32Array)[0]! - mean)).toBeLessThan(file.tolerance("loss/loss").atol!);
      session.dispose();
    });

    for (const decay of design === "adaln_zero" ? [0.9, 0.9999] : [0.9])
      other(`five AdamW steps, EMA ${decay}`, async () => {
        const session = await open("train_step", batch, `emaDecay=${decay}`);
        await writeWeights(session, ["p.", "ema."]);
        const [x0, noise] = [file.f32("train/x0"), file.f32("train/noise")];
        const [t, y, drop] = [file.i32("train/t"), file.i32("train/y"), file.i32("train/drop")];
        const losses: number[] = [];
        const size = x0.length / steps;
        for (let step = 0; step < steps; step++) {
          const samples = [step * batch, (step + 1) * batch] as const;
          const out = await session.run("train_step", {
            x_start: x0.slice(step * size, (step + 1) * size),
            "draw.noise": noise.slice(step * size, (step + 1) * size),
            "draw.t": t.slice(...samples),
            "draw.drop": drop.slice(...samples),
            y: y.slice(...samples),
          });
          losses.push((out.loss as Float32Array)[0]!);
        }
        expect(file.check("train/losses", Float32Array.from(losses))).toBeUndefined();
        const state = await session.read(names.flatMap((name) => ["p", "m", "v", "ema"].map((kind) => `${kind}.${name}`)));
        const stored = { p: "w5", m: "m5", v: "v5", ema: `ema${decay}` };
        const results = Object.entries(stored).flatMap(([kind, golden]) =>
          names.map((name) => [`train/${golden}.${name}`, state[`${kind}.${name}`] as Float32Array] as const),
        );
        expect(compared(Object.fromEntries(results))).toEqual([]);
        session.dispose();
      });

    other("DDIM 10, guidance 1.5 on all channels", async () => {
      const session = await open("sample_step", 2, "sampler=ddim", "respacing=ddim10", "guidance=1.5", "guidedChannels=4");
      await writeWeights(session, [""]);
      await session.write("x", file.f32("ddim10/z"));
      await session.write("step", Int32Array.of(0));
      const images: number[] = [];
      for (let k = 0; k < 10; k++)
        images.push(...((await session.run("sample_step", { y: file.i32("ddim10/y") })).x as Float32Array));
      expect(file.check("ddim10/x", Float32Array.from(images))).toBeUndefined();
      session.dispose();
    });

    async function ddpm20(): Promise<void> {
      const session = await open("sample_step", 2, "sampler=ddpm", "respacing=20", "guidance=1");
      await writeWeights(session, [""]);
      await session.write("x", sampling.f32("ddpm20/z"));
      await session.write("step", Int32Array.of(0));
      const noise = sampling.f32("ddpm20/noise");
      const size = noise.length / 20;
      const images: number[] = [];
      for (let k = 0; k < 20; k++) {
        const out = await session.run("sample_step", {
          y: sampling.i32("ddpm20/y"),
          "draw.noise": noise.slice(k * size, (k + 1) * size),
        });
        images.push(...(out.x as Float32Array));
      }
      expect(sampling.check("ddpm20/x", Float32Array.from(images))).toBeUndefined();
      session.dispose();
    }
    // These are of the drivers and of sampling, and would say the same of another design.
    if (design === "adaln_zero") {
      other("DDPM 20 without guidance", ddpm20);
      const width = process.env.DIT_TEST_SUBGROUP;
      test.runIf(width)("the variant is the target's and the adapter's", async () => {
        const session = await open("forward", batch);
        const subgroup = session.variants.map(({ variant }) => variant).filter((variant) => variant.startsWith("subgroup-"));
        expect([...new Set(subgroup)]).toEqual(target === "web" ? [`subgroup-${width}`] : []);
        session.dispose();
      });
    }

    for (const [name, run] of sample(`golden ${target}`, [...others], count)) test(name, run);
  });
}
