import type { Tensor } from "dit-compile";

declare const q: Tensor<"batch head token width">;
declare const k: Tensor<"batch head key width">;

export const out = q.add(k);
