interface Weight {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}
interface Task {
  readonly weights: ReadonlyMap<string, Weight>;
}

export function linearOf(task: Task, name: string): { readonly weight: Weight; readonly bias: Weight };
export function asStored(name: string, data: Float32Array, task: Task): Float32Array;
