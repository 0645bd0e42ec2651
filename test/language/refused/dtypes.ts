import type { Tensor } from "dit-compile";

declare const x: Tensor<"batch hidden">;
declare const label: Tensor<"batch", "i32">;

export const out = x.add(label);
