// matmul-parts: adds the parts of a product whose K was divided among workgroups, always from the first to the last, and does what follows
// the product. A thread has one result, or one sum of an operand. Neighbours have neighbouring results, in each part side by side.
fn added(at: u32, length: u32) -> f32 {
  var total = 0.0;
  for (var part = 0u; part < PARTS; part++) {
    total += load_part(at + part * length);
  }
  return total;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let i = group_id(wid) * THREADS + lid;
  if (i < RESULTS) {
    let n = i % N;
    let m = i / N % M;
    let batch = i / (N * M);
    let c_base = C_OFFSET + (batch / BATCH1) * C_BATCH0 + (batch % BATCH1) * C_BATCH1;
    store(c_base + m * C_M + n * C_N, m, n, batch, added(i, RESULTS));
    return;
  }
  // The sums lie behind the results of all parts.
  let sum = i - RESULTS;
  if (SUM_A && sum < SUMS_A) {
    store_sum_a(sum % M, sum / M, added(PARTS * RESULTS + sum, SUMS_A + SUMS_B));
  } else if (SUM_B && sum < SUMS_A + SUMS_B) {
    let j = sum - SUMS_A;
    store_sum_b(j % N, j / N, added(PARTS * RESULTS + sum, SUMS_A + SUMS_B));
  }
}
