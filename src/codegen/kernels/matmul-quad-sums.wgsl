// The sums of A over k ride along in the first tile of columns: A lies m by m, and a lane has four rows side by side.
fn ride_sums(m0: u32, n0: u32, lane: u32, a_base: u32, b_base: u32, batch: u32) {
  if (!SUM_A || n0 != 0u) {
    return;
  }
  for (var q = 0u; q < OWN; q += 4u) { // unroll
    let m = m0 + 4u * (lane + q);
    let at = (a_base + min(m, M - 4u)) / 4u;
    var total = vec4f();
    for (var start = 0u; start < K; start += 64u) {
      var block = vec4f();
      for (var k = start; k < min(start + 64u, K); k++) {
        block += load_a(at + k * (A_K / 4u));
      }
      total += block;
    }
    if (m < M) {
      store_sum_a(m, batch, total.x);
      store_sum_a(m + 1u, batch, total.y);
      store_sum_a(m + 2u, batch, total.z);
      store_sum_a(m + 3u, batch, total.w);
    }
  }
}
