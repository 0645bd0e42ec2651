/**
 * The folder of a training run, and what lies where in it:
 *
 *     train.json             the resolved configuration          bundle/            the compiled program
 *     loss.jsonl             a line for each look at the loss    checkpoints/       whole states, to resume from
 *     curve.png              the loss, drawn                     samples/           grids of samples, drawn as it trained
 *     report.html            all of it on one page               ATTRIBUTION.txt    what the data's licence asks for
 *     weights.safetensors    the moving average, to sample with  weights-raw.safetensors
 */
import { appendFileSync, existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { gridPng } from "../data/grid.js";
import { fail } from "../diagnostics/diagnostic.js";
import { readFileBytes, writeFileAtomic } from "../formats/files.js";
import { listCheckpoints } from "./checkpoint.js";
import { curvePng } from "./curve.js";
import { type LossRecord, lineOf, parseLine } from "./record.js";
import { type ReportPage, reportPage } from "./report-page.js";
import type { Samples } from "./sampler.js";
import { readConfig, type TrainConfig, type TrainFile } from "./train-config.js";
import type { Trainer } from "./trainer.js";
import { writeWeightsFile } from "./weights.js";

export class RunFolder {
  readonly path: string;
  #records: LossRecord[] = [];

  constructor(path: string) {
    this.path = path;
  }

  at(...names: string[]): string {
    return join(this.path, ...names);
  }

  get checkpoints(): string {
    return this.at("checkpoints");
  }

  get bundle(): string {
    return this.at("bundle");
  }

  get records(): readonly LossRecord[] {
    return this.#records;
  }

  /** Whether a run began here. */
  get exists(): boolean {
    return existsSync(this.at("train.json")) || listCheckpoints(this.checkpoints).length > 0;
  }

  /** The configuration that the run began with. Error: DIT4242 (there is none). */
  async config(): Promise<TrainFile> {
    const path = this.at("train.json");
    if (existsSync(path)) return readConfig(path);
    return fail("DIT4242", `there is no run to resume in ${this.path}`, {
      notes: [`expected ${path}`],
      help: "name the folder that dit-compile train wrote (--output), or leave --resume out to begin",
    });
  }

  /** Begins a run, or goes on with one whose first `steps` steps are kept: later lines of its log belong to steps that are run again. */
  async begin(config: TrainConfig, attribution: string | undefined, steps: number): Promise<readonly LossRecord[]> {
    const path = this.at("loss.jsonl");
    const lines = steps > 0 && existsSync(path) ? new TextDecoder().decode(await readFileBytes(path)).split("\n") : [];
    this.#records = lines.flatMap((text) => parseLine(text) ?? []).filter((record) => record.step <= steps);
    await writeFileAtomic(this.at("train.json"), `${JSON.stringify(config, null, 2)}\n`);
    await writeFileAtomic(path, this.#records.map((record) => `${lineOf(record)}\n`).join(""));
    if (attribution !== undefined) await writeFileAtomic(this.at("ATTRIBUTION.txt"), attribution);
    return this.#records;
  }

  record(record: LossRecord): void {
    this.#records.push(record);
    // One write of one line: a crash leaves whole lines.
    appendFileSync(this.at("loss.jsonl"), `${lineOf(record)}\n`);
  }

  /** The weights that training ended with: their average, which samples are made with, and themselves. */
  async weights(trainer: Trainer, config: TrainConfig, steps: number): Promise<void> {
    const { program } = trainer.session;
    const facts = { steps: String(steps), seed: String(config.seed), batch: String(config.batch * config.accumulate) };
    await writeWeightsFile(this.at("weights.safetensors"), program, trainer.reader("ema"), { ...facts, average: "ema" });
    await writeWeightsFile(this.at("weights-raw.safetensors"), program, trainer.reader("p"), facts);
  }

  /** Draws curve and page anew. */
  async page(config: TrainConfig, facts: PageFacts): Promise<void> {
    await writeFileAtomic(this.at("curve.png"), curvePng(this.#records));
    const page = reportPage({ ...facts, records: this.#records, grids: this.#grids(), config: { ...config } });
    await writeFileAtomic(this.at("report.html"), page);
  }

  #grids(): { step: number; file: string }[] {
    const folder = this.at("samples");
    if (!existsSync(folder)) return [];
    return readdirSync(folder)
      .flatMap((name) => {
        const step = /^step-(\d+)\.png$/.exec(name)?.[1];
        return step === undefined ? [] : [{ step: Number(step), file: `samples/${name}` }];
      })
      .sort((a, b) => a.step - b.step);
  }

  async grid(step: number, { images, shape }: Samples, columns: number): Promise<void> {
    // Latents of other than one or three channels are no picture yet.
    if (shape[1] !== 1 && shape[1] !== 3) return;
    const scale = Math.max(1, Math.floor(64 / shape[3]));
    await writeFileAtomic(this.at("samples", gridName(step)), gridPng(images, shape, { columns, scale }));
  }
}

/** What the page says beside curve and grids. */
export interface PageFacts extends Pick<ReportPage, "title" | "adapter" | "compileReport" | "attribution" | "finished"> {}

const gridName = (step: number): string => `step-${String(step).padStart(8, "0")}.png`;
