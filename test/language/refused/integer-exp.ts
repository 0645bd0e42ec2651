import type { Tensor } from "dit-compile";

declare const label: Tensor<"batch", "i32">;

export const out = label.exp();
