import { linear, type Tensor } from "dit-compile";

export function mlp(x: Tensor<"batch token hidden">): Tensor<"batch token hidden"> {
  return linear(x, "hidden", { mlp: 1536 }, "mlp.fc1");
}
