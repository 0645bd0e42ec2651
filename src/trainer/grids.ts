/** Grids of samples with the average weights, drawn now and then as a run trains, by a sampler that stays on the device. */
import type { Bundle } from "../program/program.js";
import type { RunFolder } from "./run-folder.js";
import { Sampler } from "./sampler.js";
import type { TrainConfig } from "./train-config.js";
import type { Trainer } from "./trainer.js";

/** The most classes a grid shows, one a column. */
const COLUMNS = 10;

export class Grids {
  readonly #bundle: Bundle;
  readonly #device: GPUDevice;
  readonly #config: TrainConfig;
  #sampler: Sampler | undefined;

  constructor(bundle: Bundle, device: GPUDevice, config: TrainConfig) {
    this.#bundle = bundle;
    this.#device = device;
    this.#config = config;
  }

  /** Draws `sampleCount` images, class by class, always of the same noise. A model without the entry `sample` has nothing to draw. */
  async draw(step: number, trainer: Trainer, folder: RunFolder): Promise<void> {
    const { entries, model } = this.#bundle.program;
    if (!entries.some(({ name }) => name === "sample")) return;
    const { numClasses } = model.config;
    const columns = Math.min(COLUMNS, typeof numClasses === "number" && numClasses > 0 ? numClasses : this.#config.sampleCount);
    const labels = Array.from({ length: this.#config.sampleCount }, (_, i) => (numClasses === 0 ? 0 : i % columns));
    this.#sampler ??= await Sampler.create(this.#bundle, this.#device, { batch: Math.min(labels.length, 64) });
    await this.#sampler.use(trainer.reader("ema"));
    await folder.grid(step, await this.#sampler.draw({ labels, seed: this.#config.seed }), columns);
  }

  dispose(): void {
    this.#sampler?.dispose();
  }
}
