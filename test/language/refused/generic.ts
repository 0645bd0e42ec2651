import type { Tensor } from "dit-compile";

export function residual<A extends string>(x: Tensor<A>, branch: Tensor<A, "f16">): Tensor<A> {
  return x.add(branch);
}
