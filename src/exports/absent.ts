/** Why an op of the table has no form in another program's terms. */
export const whyAbsent = (op: string): string =>
  op === "draw" ? "its random numbers are our own generator's" : "it belongs to training, or to our own kernels";
