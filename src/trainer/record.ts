/** One look at a run: a line of loss.jsonl, a point of the curve. */
export interface LossRecord {
  /** Steps done. */
  readonly step: number;
  /** Loss of that step's batch: null where it is not finite, since JSON has no such number. The same goes for what follows. */
  readonly loss: number | null;
  /** Mean squared error of the predicted noise, for a diffusion model, and the variational bound's part where it learns sigma. */
  readonly mse?: number | null;
  readonly vb?: number | null;
  readonly gradientNorm: number | null;
  readonly learningRate?: number | null;
  /** What the loss was multiplied by for its gradients, where it is; then a gradient that is not finite makes it smaller. */
  readonly lossScale?: number;
  /** Steps so far that were not finite and changed nothing. */
  readonly skipped: number;
  readonly imagesPerSecond: number;
  /** Of training, since the run's first step. */
  readonly seconds: number;
  /** Resident bytes of this process; on a software adapter GPU memory is among them. */
  readonly memory: number;
}

/** As a line of JSON, rounded to what the numbers are worth, so that a log is pleasant to read. */
export function lineOf({ imagesPerSecond, seconds, ...rest }: LossRecord): string {
  return JSON.stringify({
    ...rest,
    imagesPerSecond: Number(imagesPerSecond.toPrecision(4)),
    seconds: Number(seconds.toFixed(3)),
  });
}

/** Undefined for what a crash may have left half. */
export function parseLine(line: string): LossRecord | undefined {
  try {
    const record = JSON.parse(line) as LossRecord | null;
    return Number.isSafeInteger(record?.step) ? record! : undefined;
  } catch {
    return undefined;
  }
}
