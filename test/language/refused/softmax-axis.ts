import { softmax, type Tensor } from "dit-compile";

declare const scores: Tensor<"batch head token key">;

export const out = softmax(scores, "keys");
