// The golden data with kernels that require nothing of the device.
import { goldens } from "../gpu/golden-model.js";

goldens("minimum");
