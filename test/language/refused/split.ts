import type { Tensor } from "dit-compile";

declare const x: Tensor<"batch token qkv">;

export const out = x.split("qkv", "three token width", { three: 3, token: 6, width: 64 });
