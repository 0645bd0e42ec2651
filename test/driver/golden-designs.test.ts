// The golden data of the three block designs that have no published weights.
import { goldens } from "../gpu/golden-model.js";
import { shared } from "../gpu/sample.js";

for (const design of shared(["adaln", "cross_attention", "in_context"] as const)) goldens("web", design);
