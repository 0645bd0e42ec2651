// Sums of an operand over k ride along, read one number at a time: those of A in the first tile of columns, those of B in the first of rows. A
// tile has TM rows and TN columns, a subgroup S lanes.
fn ride_sums(m0: u32, n0: u32, lane: u32, a_base: u32, b_base: u32, batch: u32) {
  if (SUM_A && n0 == 0u) {
    for (var m = m0 + lane; m < min(m0 + TM, M); m += S) {
      var total = 0.0;
      for (var start = 0u; start < K; start += 64u) {
        var block = 0.0;
        for (var k = start; k < min(start + 64u, K); k++) {
          block += number_a(a_base + m * A_M + k * A_K);
        }
        total += block;
      }
      store_sum_a(m, batch, total);
    }
  }
  if (SUM_B && m0 == 0u) {
    for (var n = n0 + lane; n < min(n0 + TN, N); n += S) {
      var total = 0.0;
      for (var start = 0u; start < K; start += 64u) {
        var block = 0.0;
        for (var k = start; k < min(start + 64u, K); k++) {
          block += number_b(b_base + n * B_N + k * B_K);
        }
        total += block;
      }
      store_sum_b(n, batch, total);
    }
  }
}
