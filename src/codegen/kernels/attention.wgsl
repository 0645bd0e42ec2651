// attention: o = softmax(SCALE · q · kᵀ) · v by tiles of keys. Of each tile the scores are found first, then what was summed before is brought
// to the new largest score, then the tile is added (online softmax). Nothing of queries × keys is stored.
var<workgroup> parts: array<f32, ROWS * THREADS>;

fn score(j: u32, owner: u32) -> f32 {
  var s = 0.0;
  for (var l = 0u; l < LANES; l++) {
    s += parts[j * THREADS + owner * LANES + l];
  }
  return s;
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(local_invocation_index) lid: u32) {
  let group = group_id(wid);
  if (group >= blocks(QUERIES) * BATCHES) {
    return;
  }
  let batch = group / blocks(QUERIES);
  let mine = (group % blocks(QUERIES)) * OWNERS;
  let owner = lid / LANES;
  let lane = lid % LANES;
  // Threads past the last row repeat it, so that all meet at every barrier.
  let row = min(mine + owner, QUERIES - 1u);
  for (var i = lid; i < OWNERS * A; i += THREADS) {
    own[i] = vector_q(batch, min(mine + i / A, QUERIES - 1u), i % A) * SCALE;
  }
  workgroupBarrier();
  var q: array<vec4f, PART_A>;
  for (var c = 0u; c < PART_A; c++) { // unroll
    q[c] = own[owner * A + c * LANES + lane];
  }
  var sum: array<vec4f, PART_B>;
  var peak = -3.4028234663852886e38f;
  var total = 0.0;
  for (var first = 0u; first < KEYS; first += ROWS) {
    workgroupBarrier();
    for (var i = lid; i < ROWS * A; i += THREADS) {
      tile_a[i] = vector_k(batch, min(first + i / A, KEYS - 1u), i % A);
    }
    for (var i = lid; i < ROWS * B; i += THREADS) {
      tile_b[i] = vector_v(batch, min(first + i / B, KEYS - 1u), i % B);
    }
    workgroupBarrier();
    let count = min(TILE, KEYS - first);
    for (var j = 0u; j < count; j++) {
      var s = vec4f();
      for (var c = 0u; c < PART_A; c++) { // unroll
        s += q[c] * tile_a[j * A + c * LANES + lane];
      }
      parts[j * THREADS + lid] = s.x + s.y + s.z + s.w;
    }
    workgroupBarrier();
    var top = peak;
    for (var j = 0u; j < count; j++) {
      top = max(top, score(j, owner));
    }
    let shrink = exp(peak - top);
    peak = top;
    total *= shrink;
    for (var c = 0u; c < PART_B; c++) { // unroll
      sum[c] *= shrink;
    }
    for (var j = 0u; j < count; j++) {
      let w = exp(score(j, owner) - top);
      total += w;
      for (var c = 0u; c < PART_B; c++) { // unroll
        sum[c] += w * tile_b[j * B + c * LANES + lane];
      }
    }
  }
  for (var c = 0u; c < PART_B; c++) { // unroll
    own[owner * B + c * LANES + lane] = sum[c] / total;
  }
  workgroupBarrier();
  for (var i = lid; i < OWNERS * B; i += THREADS) {
    if (mine + i / B < QUERIES) {
      put_o(batch, mine + i / B, i % B, own[i]);
    }
  }
  if (lane == 0u && mine + owner < QUERIES) {
    store_lse(batch, row, peak + log(total));
  }
}
