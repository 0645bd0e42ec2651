// fold: one thread per element of the result, a loop over everything that folds into it. Sums and dots alike: `term(k)` is the k-th
// term, `combine` adds it (or takes the larger). Terms are folded in blocks of 64, so that the f32 error of a sum of n terms grows with
// n/64 + 64 instead of n. This is the naive kernel: right for every shape, the oracle of the others.
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let i = group_id(wid) * WORKGROUP + lid;
  if (i >= ELEMENTS) {
    return;
  }
  locate(i);
  var total = IDENTITY;
  for (var start = 0u; start < TERMS; start += 64u) {
    var block = IDENTITY;
    let end = min(start + 64u, TERMS);
    for (var k = start; k < end; k++) {
      block = combine(block, term(k));
    }
    total = combine(total, block);
  }
  store(i, total);
}
