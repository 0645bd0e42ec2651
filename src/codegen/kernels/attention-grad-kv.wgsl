// attention_grad_kv: one thread a key goes along the queries, whose q and do come in tiles. w = exp(score − lse), dv = Σ w · do,
// ds = w (do · v − do · o), dk = Σ ds · q. What belongs to a query alone is found once for all keys of the workgroup.
var<workgroup> tile_lse: array<f32, ROWS>;
var<workgroup> tile_delta: array<f32, ROWS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let blocks = (KEYS + THREADS - 1u) / THREADS;
  let group = group_id(wid);
  if (group >= blocks * BATCHES) {
    return;
  }
  let batch = group / blocks;
  let mine = (group % blocks) * THREADS + lid;
  let row = min(mine, KEYS - 1u);
  var k: array<vec4f, OVER>;
  var sum_k: array<vec4f, OVER>;
  for (var c = 0u; c < OVER; c++) { // unroll
    k[c] = vector_k(batch, row, c) * SCALE;
  }
  var v: array<vec4f, OWN>;
  var sum_v: array<vec4f, OWN>;
  for (var c = 0u; c < OWN; c++) { // unroll
    v[c] = vector_v(batch, row, c);
  }
  for (var first = 0u; first < QUERIES; first += ROWS) {
    stage(batch, first, QUERIES, lid);
    for (var j = lid; j < ROWS; j += THREADS) {
      let query = min(first + j, QUERIES - 1u);
      var along = vec4f();
      for (var c = 0u; c < OWN; c++) {
        along += vector_do(batch, query, c) * vector_o(batch, query, c);
      }
      tile_delta[j] = along.x + along.y + along.z + along.w;
      tile_lse[j] = load_lse(batch, query);
    }
    workgroupBarrier();
    let count = min(ROWS, QUERIES - first);
    for (var j = 0u; j < count; j++) {
      var s = vec4f();
      for (var c = 0u; c < OVER; c++) { // unroll
        s += k[c] * row_a(batch, first + j, j, c);
      }
      let w = exp(s.x + s.y + s.z + s.w - tile_lse[j]);
      var d = vec4f();
      for (var c = 0u; c < OWN; c++) { // unroll
        let g = row_b(batch, first + j, j, c);
        d += v[c] * g;
        sum_v[c] += w * g;
      }
      let ds = w * (d.x + d.y + d.z + d.w - tile_delta[j]);
      for (var c = 0u; c < OVER; c++) { // unroll
        sum_k[c] += ds * row_a(batch, first + j, j, c);
      }
    }
  }
  if (mine < KEYS) {
    for (var c = 0u; c < OVER; c++) { // unroll
      put_dk(batch, row, c, sum_k[c] * SCALE);
    }
    for (var c = 0u; c < OWN; c++) { // unroll
      put_dv(batch, row, c, sum_v[c]);
    }
  }
}
