// attention, naive: one thread a query goes along the keys twice, for the log of the sum of exp(score) and for the weighted sum of values.
fn score(batch: u32, query: u32, key: u32) -> f32 {
  var s = 0.0;
  for (var c = 0u; c < OVER; c++) {
    s += load_q(batch, query, c) * load_k(batch, key, c);
  }
  return s * SCALE;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let i = group_id(wid) * THREADS + lid;
  if (i >= QUERIES * BATCHES) {
    return;
  }
  let batch = i / QUERIES;
  let query = i % QUERIES;
  var peak = -3.4028234663852886e38f;
  var total = 0.0;
  for (var key = 0u; key < KEYS; key++) {
    let s = score(batch, query, key);
    let top = max(peak, s);
    total = total * exp(peak - top) + exp(s - top);
    peak = top;
  }
  let lse = peak + log(total);
  var sum: array<f32, B_COLUMNS>;
  for (var key = 0u; key < KEYS; key++) {
    let w = exp(score(batch, query, key) - lse);
    for (var c = 0u; c < OWN; c++) {
      sum[c] += w * load_v(batch, key, c);
    }
  }
  for (var c = 0u; c < OWN; c++) {
    store_o(batch, query, c, sum[c]);
  }
  store_lse(batch, query, lse);
}
