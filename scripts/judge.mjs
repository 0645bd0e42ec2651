// `npm run judge`: how good the model is that comes with the package. Trains a classifier (models/mlp.graph.ts) on Fashion-MNIST, in about
// a minute; draws 500 guided samples, 50 of each class; and prints how many of them the classifier takes for what they should be, beside
// how often it is right about real test images, and the share of distinct samples. Exit code 1 when a requirement is missed.
//   npm run judge -- [--driver lavapipe|swiftshader|hardware] [--model models/clothes] [--set guidance=3 …] [--seed 0]
import { join } from "node:path";
import { fromDist, root } from "./dist.mjs";
import { flags } from "./flags.mjs";

const { values } = flags({
  options: {
    driver: { type: "string" },
    model: { type: "string", default: "models/clothes" },
    set: { type: "string", multiple: true, default: [] },
    seed: { type: "string", default: "0" },
  },
});
const { ensureDriver } = await fromDist("runtime/node/driver.js");
await ensureDriver(values.driver);
const { compile } = await fromDist("compile/compile.js");
const { fetchFashionMnist } = await fromDist("data/fashion-mnist.js");
const { inMemory } = await fromDist("data/source.js");
const { requestDevice } = await fromDist("runtime/node/dawn.js");
const { accuracyOf, classify, realsOf } = await fromDist("trainer/classifier.js");
const { train } = await fromDist("trainer/loop.js");
const { measure } = await fromDist("trainer/measure.js");
const { sample } = await fromDist("trainer/sampler.js");
const { readConfig, resolveConfig, settingsOf } = await fromDist("trainer/train-config.js");
const { openWeights } = await fromDist("node/weights.js");

process.chdir(root);
const [COUNT, CLASSES] = [500, 10];
const data = await fetchFashionMnist({ download: true });
const dawn = await requestDevice();
console.log(`on ${dawn.info.description}`);

const judge = await compile("models/mlp.graph.ts", { set: ["hidden=256", "emaDecay=0.999", "weightDecay=0.01"], batch: 128 });
const { ema } = await train({
  bundle: judge.bundle,
  device: dawn.device,
  images: inMemory(data.train),
  steps: 2000,
  batch: 128,
  seed: 0,
  logEvery: 200,
});
const classOf = (images) => classify(judge.bundle, dawn.device, ema, images);
const real = accuracyOf(await classOf(realsOf(data.test)), data.test.labels);

const config = resolveConfig(await readConfig(join(values.model, "train.json")));
const { preset } = config;
const { bundle } = await compile(config.model, { preset, set: [...settingsOf(config), ...values.set], entries: ["sample"] });
const weights = await openWeights(join(values.model, "weights.safetensors"), bundle.program);
const labels = Int32Array.from({ length: COUNT }, (_, i) => i % CLASSES);
const { images } = await sample({ bundle, device: dawn.device, weights, labels, seed: Number(values.seed), batch: 50 });
const seen = await classOf(images);
const accuracy = accuracyOf(seen, labels);
const measures = measure({ pixels: images, labels }, data);
dawn.dispose();

const percent = (x) => `${(100 * x).toFixed(1)} %`;
const share = (c) => seen.filter((label, i) => labels[i] === c && label === c).length / (COUNT / CLASSES);
console.log(`the classifier is right about ${percent(real)} of the real test images (required: 85 %)`);
console.log(`and takes ${percent(accuracy)} of ${COUNT} samples for what they should be (required: 60 %)`);
for (const [c, name] of data.train.classes.entries()) console.log(`  ${name.padEnd(12)} ${percent(share(c))}`);
console.log(
  `distinct samples: ${percent(measures.distinct.samples)} (required: 80 %; real test images: ${percent(measures.distinct.real)})`,
);
console.log(
  `nearest training images' vote: ${percent(measures.accuracy.samples)} (real test images: ${percent(measures.accuracy.real)})`,
);
const { nearest, within } = measures;
console.log(
  `median distance to the nearest training image: ${nearest.samples.toFixed(2)} (real test images: ${nearest.real.toFixed(2)})`,
);
console.log(`median distance within a class: ${within.samples.toFixed(2)} (real test images: ${within.real.toFixed(2)})`);
if (!(real >= 0.85 && accuracy >= 0.6 && measures.distinct.samples >= 0.8)) process.exit(1);
