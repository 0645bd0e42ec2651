import type { Tensor } from "dit-compile";

declare const x: Tensor<"batch hidden">;

export const out = x.lt(0).mul(2);
