/**
 * Settings of models/dit.graph.ts that nobody has written down: every block design, with and without classes, with 1, 3 or 4 channels, any
 * side that the patch divides, any number of heads. DIT_CONFIGS_SEED=… DIT_CONFIGS_COUNT=… choose others.
 */
import type { Block, DitConfig } from "../src/checkpoints/config.js";
import { random } from "./random-numbers.js";

const designs: readonly Block[] = ["adaln_zero", "adaln", "cross_attention", "in_context"];
const seed = Number(process.env.DIT_CONFIGS_SEED ?? 1);

/** So many; designs and numbers of classes in turn, so that twelve have all pairs. */
export const ditConfigs = (count = Number(process.env.DIT_CONFIGS_COUNT ?? 8)): readonly DitConfig[] => {
  const { below, of } = random(seed);
  return Array.from({ length: count }, (_, i) => {
    const patchSize = 1 + below(4);
    const numHeads = 1 + below(3);
    return {
      block: designs[i % 4]!,
      inputSize: patchSize * (1 + below(5)),
      patchSize,
      inChannels: of([1, 3, 4]),
      hiddenSize: 4 * numHeads * (1 + below(4)),
      depth: 1 + below(2),
      numHeads,
      mlpRatio: of([1, 1.5, 4]),
      numClasses: [0, 7, 1][i % 3]!,
      classDropoutProb: of([0, 0.1]),
      learnSigma: of([false, true]),
    };
  });
};

/** As `--set` takes it, without guidance, which not all of them have. */
export const asSettings = (config: DitConfig): string[] => [
  ...Object.entries(config).map(([key, value]) => `${key}=${value}`),
  "guidance=1",
];
