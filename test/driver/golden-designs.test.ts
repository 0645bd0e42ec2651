// The golden data of the three block designs that have no published weights.
import { goldens } from "../gpu/golden-model.js";

goldens("web", "adaln");
goldens("web", "cross_attention");
goldens("web", "in_context");
