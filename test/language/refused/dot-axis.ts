import { dot, type Tensor } from "dit-compile";

declare const hidden: Tensor<"batch token mlp">;
declare const weight: Tensor<"hidden mlp">;

export const out = dot(hidden, weight, "hidden");
