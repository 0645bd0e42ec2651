// attention_grad_q: one thread a query goes along the keys again. w = exp(score − lse), dw = do · v, ds = w (dw − do · o), dq = Σ ds · k.
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let blocks = (QUERIES + THREADS - 1u) / THREADS;
  let group = group_id(wid);
  if (group >= blocks * BATCHES) {
    return;
  }
  let batch = group / blocks;
  let mine = (group % blocks) * THREADS + lid;
  let row = min(mine, QUERIES - 1u);
  var q: array<vec4f, OVER>;
  var sum: array<vec4f, OVER>;
  for (var c = 0u; c < OVER; c++) { // unroll
    q[c] = vector_q(batch, row, c) * SCALE;
  }
  var g: array<vec4f, OWN>;
  var along = vec4f();
  for (var c = 0u; c < OWN; c++) { // unroll
    g[c] = vector_do(batch, row, c);
    along += g[c] * vector_o(batch, row, c);
  }
  let delta = along.x + along.y + along.z + along.w;
  let lse = load_lse(batch, row);
  for (var first = 0u; first < KEYS; first += ROWS) {
    stage(batch, first, KEYS, lid);
    let count = min(ROWS, KEYS - first);
    for (var j = 0u; j < count; j++) {
      var s = vec4f();
      for (var c = 0u; c < OVER; c++) { // unroll
        s += q[c] * row_a(batch, first + j, j, c);
      }
      var d = vec4f();
      for (var c = 0u; c < OWN; c++) { // unroll
        d += g[c] * row_b(batch, first + j, j, c);
      }
      let w = exp(s.x + s.y + s.z + s.w - lse);
      let ds = w * (d.x + d.y + d.z + d.w - delta);
      for (var c = 0u; c < OVER; c++) { // unroll
        sum[c] += ds * row_a(batch, first + j, j, c);
      }
    }
  }
  if (mine < QUERIES) {
    for (var c = 0u; c < OVER; c++) { // unroll
      put_dq(batch, row, c, sum[c] * SCALE);
    }
  }
}
