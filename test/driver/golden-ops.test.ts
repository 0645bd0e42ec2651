/**
 * The golden single operations, computed by PyTorch in f64, against what this adapter computes: each is written in the language as a
 * model would write it, traced, differentiated, fused, lowered and run. Where the file gives `dy`, the loss is sum(y · dy) and every
 * `d<input>` is compared too. Tolerances are the manifest's. Each with the kernels that are chosen and with the naive ones alone.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hybridLoss, type Images, qSample } from "../../src/diffusion/process.js";
import { posterior, reverseStep, type SamplerSettings, stepRow, stepTable } from "../../src/diffusion/reverse-step.js";
import { schedule } from "../../src/diffusion/schedule.js";
import { input } from "../../src/dsl/declare.js";
import { dot, gather, gelu, mean, named, normalize, silu, softmax, sum } from "../../src/dsl/functions.js";
import type { AnyTensor, Sizes, Tensor } from "../../src/dsl/tensor.js";
import { type Traced, trace } from "../../src/dsl/trace.js";
import { passes } from "../../src/passes/index.js";
import { pipeline } from "../../src/passes/pass.js";
import { type DawnDevice, requestDevice } from "../../src/runtime/node/dawn.js";
import { createSession, type Session } from "../../src/runtime/session.js";
import { gradients } from "../../src/training/gradient.js";
import { golden } from "../golden.js";
import { bundleOf } from "../gpu/run-module.js";
import { shared } from "../gpu/sample.js";

const file = golden("ops");

type Tokens = Tensor<"batch token hidden">;
type Heads = Tensor<"batch head token width">;

let dawn: DawnDevice;
beforeAll(async () => {
  dawn = await requestDevice();
});
afterAll(() => dawn.dispose());

/** What a case's expression is written with: the case's stored tensors as inputs of the graph. */
interface Stored {
  /** Declares `<case>/<name>`; "batch" stays a symbol, as in a model. */
  readonly f32: <const A extends string>(name: string, axes: A) => Tensor<A>;
  readonly i32: <const A extends string>(name: string, axes: A) => Tensor<A, "i32">;
  /** What was declared, by name. */
  readonly taken: ReadonlyMap<string, AnyTensor>;
}

function storedOf(name: string): Stored {
  const taken = new Map<string, AnyTensor>();
  const take = (key: string, axes: string, dtype: "f32" | "i32"): AnyTensor => {
    const { shape } = file.get(`${name}/${key}`);
    const sizes = Object.fromEntries(axes.split(" ").flatMap((axis, i) => (axis === "batch" ? [] : [[axis, shape[i]!]])));
    const tensor: AnyTensor = input(key, axes, sizes as Sizes<string>, dtype);
    taken.set(key, tensor);
    return tensor;
  };
  return {
    taken,
    f32: (key, axes) => named(take(key, axes, "f32"), axes),
    i32: (key, axes) => named(take(key, axes, "i32"), axes, "i32"),
  };
}

/** The function `main` of a trace, through every pass, on the device. Its tables are written where they belong. */
async function open({ fn, tables }: Traced, batch: number, safe: boolean): Promise<Session> {
  const options = { maxStorageBuffers: 8, differentiated: true };
  const module = pipeline(passes, { stage: "graph", fns: [fn] }, { options });
  const session = await createSession(bundleOf(module, { batch, safe }), dawn.device);
  for (const { name, kind, value } of fn.params) {
    if (kind !== "constant") continue;
    const data = tables.get(name)!;
    await session.write(name, value.type.dtype === "i32" ? Int32Array.from(data) : Float32Array.from(data));
  }
  return session;
}

/** The stored data of a case, or sample `sample` of it. */
function dataOf(name: string, keys: readonly string[], sample?: number): Record<string, Float32Array | Int32Array> {
  return Object.fromEntries(
    keys.map((key) => {
      const { data, shape } = file.get(`${name}/${key}`);
      const size = data.length / shape[0]!;
      return [key, (sample === undefined ? data : data.slice(sample * size, (sample + 1) * size)) as Float32Array | Int32Array];
    }),
  );
}

/** What differs from the file, of all outputs that the manifest lists for the case. */
function differences(name: string, got: Readonly<Record<string, ArrayLike<number>>>): string[] {
  const wanted = Object.keys(file.cases[name]!.outputs!).map((output) => output.slice(name.length + 1));
  expect(Object.keys(got).sort()).toEqual(wanted.sort());
  return wanted.flatMap((key) => file.check(`${name}/${key}`, got[key]!) ?? []);
}

/** Traces, runs and compares one case: its value, and the gradient of sum(y · dy) for each input that has one in the file. */
async function forwardAndBackward(name: string, safe: boolean, build: (stored: Stored) => AnyTensor): Promise<void> {
  const stored = storedOf(name);
  let batch = 1;
  const traced = trace("main", () => {
    const value = build(stored);
    const y = named(value, value.axes);
    const differentiable = [...stored.taken].filter(([key]) => file.tensors.has(`${name}/d${key}`));
    const loss = sum(y.mul(stored.f32("dy", y.axes)), y.axes) as AnyTensor;
    const wrt = differentiable.map(([key, tensor]) => ({ name: key, tensor }));
    const found = gradients(named(loss, ""), wrt);
    return { y, ...Object.fromEntries(wrt.map((w, i) => [`d${w.name}`, found[i]!])) };
  });
  for (const [key, { type }] of stored.taken) if (type.axes[0] === "batch") batch = file.get(`${name}/${key}`).shape[0]!;
  const session = await open(traced, batch, safe);
  const got = await session.run("main", dataOf(name, [...stored.taken.keys()]));
  session.dispose();
  expect(differences(name, got as Record<string, ArrayLike<number>>)).toEqual([]);
}

/** Scores of queries against keys, softmax, and the mix of values: two dots, as in models/dit.graph.ts. */
function attention(q: Heads, k: Heads, v: Heads, scale: number): Heads {
  const scores = dot(q, k.rename({ token: "key" }), "width").mul(scale);
  return dot(softmax(scores, "key"), v.rename({ token: "key" }), "key");
}

/** q, k and v in heads from one fused linear map, and the heads put together again through another. */
function selfAttention({ f32 }: Stored, heads: number): Tokens {
  const x = f32("x", "batch token hidden");
  const qkv = dot(x, f32("qkv_w", "qkv hidden"), "hidden").add(f32("qkv_b", "qkv"));
  const parts = qkv.split("qkv", "three head width", { three: 3, head: heads }).transpose("three batch head token width");
  const [q, k, v] = parts.unbind("three", 3);
  const mixed = attention(q, k, v, (x.size("hidden") / heads) ** -0.5);
  const merged = mixed.transpose("batch token head width").merge("head width", "inner");
  return dot(merged, f32("proj_w", "hidden inner"), "inner").add(f32("proj_b", "hidden"));
}

/** A convolution whose stride is its kernel: patches as rows, times a matrix. */
function patchEmbed({ f32 }: Stored, patch: number): Tokens {
  const rows = f32("x", "batch channel height width").split("height", "row i", { i: patch });
  const patches = rows.split("width", "column j", { j: patch });
  const tokens = dot(patches, f32("w", "hidden channel i j"), "channel i j").merge("row column", "token");
  return tokens.add(f32("b", "hidden"));
}

/** Tokens back to an image; inside a token the channel runs fastest. */
function unpatchify({ f32 }: Stored, patch: number, grid: number): Images {
  const tokens = f32("x", "batch token pixels").split("token", "row column", { row: grid, column: grid });
  const pixels = tokens.split("pixels", "i j channel", { i: patch, j: patch });
  return pixels.transpose("batch channel row i column j").merge("row i", "height").merge("column j", "width");
}

const norm = ({ f32 }: Stored): Tokens => normalize(f32("x", "batch token hidden"), "hidden", 1e-6);
const matrix = ({ f32 }: Stored, x: Tensor<"batch token hidden"> | Tensor<"batch hidden">): AnyTensor =>
  dot(x as Tokens, f32("w", "out hidden"), "hidden").add(f32("b", "out"));
const scaleOf = (name: string): number => file.cases[name]!.params!.scale as number;

const cases: Readonly<Record<string, (stored: Stored) => AnyTensor>> = {
  layer_norm: norm,
  layer_norm_offset: norm,
  layer_norm_small: norm,
  layer_norm_affine: (s) => norm(s).mul(s.f32("w", "hidden")).add(s.f32("b", "hidden")),
  gelu_tanh: ({ f32 }) => gelu(f32("x", "element")),
  silu: ({ f32 }) => silu(f32("x", "element")),
  softmax: ({ f32 }) => softmax(f32("x", "batch token key"), "key"),
  modulate: ({ f32 }) =>
    f32("x", "batch token hidden").mul(f32("scale", "batch hidden").add(1)).add(f32("shift", "batch hidden")),
  gated_residual: ({ f32 }) =>
    f32("x", "batch token hidden").add(f32("h", "batch token hidden").mul(f32("gate", "batch hidden"))),
  linear: (s) => matrix(s, s.f32("x", "batch token hidden")),
  linear_long: (s) => matrix(s, s.f32("x", "batch hidden")),
  ...Object.fromEntries(
    Object.keys(file.cases)
      .filter((name) => name.startsWith("attention_"))
      .map((name) => [
        name,
        ({ f32 }: Stored) => {
          const axes = "batch head token width";
          return attention(f32("q", axes), f32("k", axes), f32("v", axes), scaleOf(name));
        },
      ]),
  ),
  self_attention_module: (s) => selfAttention(s, 3),
  patch_embed: (s) => patchEmbed(s, 2),
  unpatchify: (s) => unpatchify(s, 2, 4),
  embedding: ({ f32, i32 }) => gather(f32("table", "class hidden"), i32("ids", "batch"), "class"),
};

// Parts of an autoencoder, for which the language has no ops: convolutions, their norm, and upsampling.
const otherModels = /^(group_norm|conv|upsample)/;

test("every golden operation that a DiT needs is here", () => {
  const covered = [...Object.keys(cases), "hybrid_loss", "reverse_step"];
  expect(covered.sort()).toEqual(
    Object.keys(file.cases)
      .filter((name) => !otherModels.test(name))
      .sort(),
  );
});

const images = "batch channel height width";
const samplers: readonly { readonly label: string; readonly settings: SamplerSettings }[] = [false, true].flatMap(
  (clipDenoised) =>
    [undefined, 0, 0.5, 1].map((eta) => ({
      label: `${clipDenoised ? "clip." : ""}${eta === undefined ? "p_sample" : `ddim_eta${eta.toFixed(1)}`}`,
      settings: { sampler: eta === undefined ? "ddpm" : "ddim", eta: eta ?? 0, clipDenoised } as const,
    })),
);

describe.each([
  ["chosen kernels", false],
  ["naive kernels", true],
])("%s", (_, safe) => {
  // Attention, of which a driver compiles each kernel for seconds, has many sizes.
  const many = (name: string) => name.startsWith("attention_");
  const names = Object.keys(cases);
  test.each([...names.filter((name) => !many(name)), ...shared(names.filter(many))])("%s", (name) =>
    forwardAndBackward(name, safe, cases[name]!),
  );

  test("hybrid_loss", async () => {
    const stored = storedOf("hybrid_loss");
    const process = schedule("", 1000);
    const traced = trace("main", () => {
      const [x0, noise, out] = [stored.f32("x0", images), stored.f32("noise", images), stored.f32("model_out", images)];
      const t = stored.i32("t", "batch");
      const xt = qSample(process, x0, t, noise);
      const { mse, vb, loss } = hybridLoss(process, out, x0, xt, noise, t);
      const [gradient] = gradients(mean(loss, "batch"), [{ name: "out", tensor: out }]);
      return { mse, vb: vb!, loss, x_t: xt, dmodel_out: gradient! };
    });
    const session = await open(traced, 5, safe);
    const got = await session.run("main", dataOf("hybrid_loss", [...stored.taken.keys()]));
    session.dispose();
    expect(differences("hybrid_loss", got as Record<string, ArrayLike<number>>)).toEqual([]);
  });

  // A sampler's step is one timestep for the whole batch, so each sample of the file is a run of its own.
  test("reverse_step", async () => {
    const t = file.i32("reverse_step/t");
    const keys = ["x", "noise", "model_out"];
    const got: Record<string, number[]> = {};
    for (const { label, settings } of samplers) {
      const stored = storedOf("reverse_step");
      const traced = trace("main", () => {
        const [x, noise, out] = [stored.f32("x", images), stored.f32("noise", images), stored.f32("model_out", images)];
        const row = stepRow(stepTable("", settings), input("step", "", {}, "i32"));
        const { x: next, x0 } = reverseStep(settings, row, x, out, { noise });
        if (settings.sampler === "ddim") return { [label]: next };
        const prefix = settings.clipDenoised ? "clip." : "";
        const { mean: average, logVariance } = posterior(row, x, out, x0);
        return {
          [label]: next,
          [`${prefix}pred_x0`]: x0,
          [`${prefix}mean`]: average,
          [`${prefix}log_variance`]: logVariance!,
        };
      });
      const session = await open(traced, 1, safe);
      for (let i = 0; i < t.length; i++) {
        const results = await session.run("main", { ...dataOf("reverse_step", keys, i), step: Int32Array.of(999 - t[i]!) });
        for (const [key, values] of Object.entries(results)) got[key] = [...(got[key] ?? []), ...(values as Float32Array)];
      }
      session.dispose();
    }
    expect(differences("reverse_step", got)).toEqual([]);
  });
});
