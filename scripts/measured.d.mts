export interface Measured {
  readonly format: string;
  readonly commit: string;
  readonly adapter: string;
  readonly about: Readonly<Record<string, unknown>>;
  /** By part, what it found. */
  readonly parts: Readonly<Record<string, unknown>>;
  /** By part, how long it took. */
  readonly seconds: Readonly<Record<string, number>>;
}

export const FORMAT: string;
export function withoutPaths<T>(value: T, folders: readonly (readonly [path: string, name: string])[]): T;
export function measuredBefore(
  file: string,
  run: Pick<Measured, "commit" | "adapter" | "about">,
): Pick<Measured, "parts" | "seconds">;
export function writeMeasured(file: string, result: Measured): void;
