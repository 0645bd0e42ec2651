import type { Tensor } from "dit-compile";

declare const mixed: Tensor<"batch head token width">;

export const out = mixed.merge("head width", "hidden");
