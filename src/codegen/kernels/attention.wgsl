// attention: o = softmax(SCALE · q · kᵀ) · v, one thread a query. Keys come ROWS at a time; of each tile the scores are found first, then
// what was summed before is brought to the new largest score, then the tile is added (online softmax). Nothing of queries × keys is stored.
// Threads past the last query repeat it, so that all meet at every barrier, and store nothing.
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
  for (var c = 0u; c < OVER; c++) { // unroll
    q[c] = vector_q(batch, row, c) * SCALE;
  }
  var sum: array<vec4f, OWN>;
  var peak = -3.4028234663852886e38f;
  var total = 0.0;
  var score: array<f32, ROWS>;
  for (var first = 0u; first < KEYS; first += ROWS) {
    stage(batch, first, KEYS, lid);
    let count = min(ROWS, KEYS - first);
    var top = peak;
    for (var j = 0u; j < count; j++) {
      var s = vec4f();
      for (var c = 0u; c < OVER; c++) { // unroll
        s += q[c] * row_a(batch, first + j, j, c);
      }
      score[j] = s.x + s.y + s.z + s.w;
      top = max(top, score[j]);
    }
    let shrink = exp(peak - top);
    peak = top;
    total *= shrink;
    for (var c = 0u; c < OWN; c++) { // unroll
      sum[c] *= shrink;
    }
    for (var j = 0u; j < count; j++) {
      let w = exp(score[j] - top);
      total += w;
      for (var c = 0u; c < OWN; c++) { // unroll
        sum[c] += w * row_b(batch, first + j, j, c);
      }
    }
  }
  if (mine < QUERIES) {
    for (var c = 0u; c < OWN; c++) { // unroll
      put_o(batch, row, c, sum[c] / total);
    }
    store_lse(batch, row, peak + log(total));
  }
}
