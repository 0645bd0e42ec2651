/** A function of stored tensors that a dispatch computes, as the IR says it: what its numbers can be held against. */
import type { Fn } from "../ir/graph.js";
import type { Window } from "../ir/strides.js";

export interface Computation {
  readonly body: Fn;
  /** The storage of each parameter, and of each result with its window there. */
  readonly params: readonly number[];
  readonly results: readonly { readonly storage: number; readonly window?: Window | undefined }[];
}
