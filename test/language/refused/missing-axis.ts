import type { Tensor } from "dit-compile";

declare const x: Tensor<"batch token hidden">;
declare const gate: Tensor<"batch width">;

export const out = x.mul(gate).add(1);
