// The golden data on this adapter, with the kernel variants that it takes.
import { goldens } from "./golden-model.js";

goldens("web");
