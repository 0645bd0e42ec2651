// The work on which programs are held against each other: a forward pass, and a training step (forward, mean squared error, backward,
// AdamW without weight decay). `set` holds the settings of the model that every program follows.
const trained = ["learnSigma=false", "draws=inputs"];

export const works = [
  { name: "forward DiT-S/4", kind: "forward", preset: "DiT-S/4", batch: 2, set: [] },
  { name: "forward DiT-S/2", kind: "forward", preset: "DiT-S/2", batch: 2, set: [] },
  { name: "forward DiT-B/4", kind: "forward", preset: "DiT-B/4", batch: 2, set: [] },
  { name: "train small", kind: "train", preset: "small", batch: 16, set: trained },
  { name: "train DiT-S/4", kind: "train", preset: "DiT-S/4", batch: 8, set: trained },
  // Seconds long, for work on this very program: only when they are asked for.
  { name: "forward tiny", kind: "forward", preset: "tiny", batch: 2, set: [], named: true },
  { name: "train tiny", kind: "train", preset: "tiny", batch: 4, set: trained, named: true },
];

/** The entry of our own program that does a work of this kind. */
export const entryOf = { forward: "forward", train: "train_step" };
