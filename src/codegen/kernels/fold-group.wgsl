// fold-group: one workgroup per element of the result, for few results of many terms (losses, gradient norms). Threads fold every
// WORKGROUP-th term, then a tree in workgroup memory folds the threads: the order is fixed, so the bits are.
var<workgroup> partial: array<Scalar, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let i = group_id(wid);
  if (i >= ELEMENTS) {
    return;
  }
  locate(i);
  var total = IDENTITY;
  for (var k = lid; k < TERMS; k += WORKGROUP) {
    total = combine(total, term(k));
  }
  partial[lid] = total;
  for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
    workgroupBarrier();
    if (lid < half) {
      partial[lid] = combine(partial[lid], partial[lid + half]);
    }
  }
  if (lid == 0u) {
    store(i, partial[0]);
  }
}
