// What is measured: compile times, the designs of the matmul, kernels against what they may take at most, and entries of models that come with the compiler at sizes that a software adapter can bear.
export const jobs = [
  { name: "compile tiny", kind: "compile", preset: "tiny", batch: 1 },
  { name: "compile DiT-S/2", kind: "compile", preset: "DiT-S/2", batch: 1 },
  { name: "compile DiT-XL/2", kind: "compile", preset: "DiT-XL/2", batch: 1 },
  { name: "forward DiT-S/4", kind: "run", preset: "DiT-S/4", entry: "forward", batch: 2 },
  { name: "forward fashion", kind: "run", preset: "fashion", entry: "forward", batch: 16 },
  { name: "train fashion", kind: "run", preset: "fashion", entry: "train_step", batch: 64 },
  { name: "train small", kind: "run", preset: "small", entry: "train_step", batch: 16 },
  // Minutes long: only when they are asked for.
  { name: "matmul", kind: "matmul", named: true },
  { name: "attention 64", kind: "attention", tokens: 64, named: true },
  { name: "attention 256", kind: "attention", tokens: 256, named: true },
  { name: "attention 1024", kind: "attention", tokens: 1024, named: true },
  { name: "few rows", kind: "few", named: true },
  { name: "odd sizes", kind: "odd", named: true },
];
