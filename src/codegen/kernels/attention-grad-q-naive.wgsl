// attention_grad_q, naive: one thread a query. w = exp(score − lse), ds = w (do · v − delta), dq = Σ ds · k, delta = Σ do · o.
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let i = group_id(wid) * THREADS + lid;
  if (i >= QUERIES * BATCHES) {
    return;
  }
  let batch = i / QUERIES;
  let query = i % QUERIES;
  let lse = load_lse(batch, query);
  var delta = 0.0;
  for (var c = 0u; c < OWN; c++) {
    delta += load_do(batch, query, c) * load_o(batch, query, c);
  }
  var sum: array<f32, A_COLUMNS>;
  for (var key = 0u; key < KEYS; key++) {
    var s = 0.0;
    for (var c = 0u; c < OVER; c++) {
      s += load_q(batch, query, c) * load_k(batch, key, c);
    }
    var d = 0.0;
    for (var c = 0u; c < OWN; c++) {
      d += load_do(batch, query, c) * load_v(batch, key, c);
    }
    let ds = exp(s * SCALE - lse) * (d - delta);
    for (var c = 0u; c < OVER; c++) {
      sum[c] += ds * load_k(batch, key, c);
    }
  }
  for (var c = 0u; c < OVER; c++) {
    store_dq(batch, query, c, sum[c] * SCALE);
  }
  store_delta(batch, query, delta);
}
