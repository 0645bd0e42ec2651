import type { Tensor } from "dit-compile";

declare const k: Tensor<"batch head token width">;

export const out = k.rename({ token: "head" });
