// attention_grad_kv, naive: one thread a key. w = exp(score − lse), dv = Σ w · do, ds = w (do · v − delta), dk = Σ ds · q.
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let i = group_id(wid) * THREADS + lid;
  if (i >= KEYS * BATCHES) {
    return;
  }
  let batch = i / KEYS;
  let key = i % KEYS;
  var sum_k: array<f32, A_COLUMNS>;
  var sum_v: array<f32, B_COLUMNS>;
  for (var query = 0u; query < QUERIES; query++) {
    var s = 0.0;
    for (var c = 0u; c < OVER; c++) {
      s += load_q(batch, query, c) * load_k(batch, key, c);
    }
    let w = exp(s * SCALE - load_lse(batch, query));
    var d = -load_delta(batch, query);
    for (var c = 0u; c < OWN; c++) {
      let g = load_do(batch, query, c);
      d += g * load_v(batch, key, c);
      sum_v[c] += w * g;
    }
    for (var c = 0u; c < OVER; c++) {
      sum_k[c] += w * d * load_q(batch, query, c);
    }
  }
  for (var c = 0u; c < OVER; c++) {
    store_dk(batch, key, c, sum_k[c] * SCALE);
  }
  for (var c = 0u; c < OWN; c++) {
    store_dv(batch, key, c, sum_v[c]);
  }
}
