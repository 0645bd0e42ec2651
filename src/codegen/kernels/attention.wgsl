// attention: o = softmax(SCALE · q · kᵀ) · v by tiles of keys. Of each tile the scores are found first, then what was summed before is brought
// to the new largest score, then the tile is added (online softmax). Nothing of queries × keys is stored.
var<workgroup> parts: array<f32, ROWS * THREADS>;
var<workgroup> scores: array<f32, ROWS * OWNERS>;

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
    memory[i] = vector_q(batch, min(mine + i / A, QUERIES - 1u), i % A) * SCALE;
  }
  workgroupBarrier();
  var q: array<vec4f, PART_A>;
  for (var c = 0u; c < PART_A; c++) { // unroll
    q[c] = memory[owner * A + c * LANES + lane];
  }
  var sum: array<vec4f, PART_B>;
  var peak = -3.4028234663852886e38f;
  var total = 0.0;
  var next_a: array<vec4f, LOADS_A>;
  var next_b: array<vec4f, LOADS_B>;
  // One tile behind what is fetched: before the first there is nothing to do, after the last nothing to fetch.
  for (var first = 0u; first < KEYS + ROWS; first += ROWS) {
    workgroupBarrier();
    if (first > 0u) {
      for (var f = 0u; f < LOADS_A; f++) {
        if (f * THREADS + lid < ROWS * A) {
          memory[f * THREADS + lid] = next_a[f];
        }
      }
      for (var f = 0u; f < LOADS_B; f++) {
        if (f * THREADS + lid < ROWS * B) {
          memory[AT_B + f * THREADS + lid] = next_b[f];
        }
      }
    }
    workgroupBarrier();
    if (first < KEYS) {
      for (var f = 0u; f < LOADS_A; f++) {
        next_a[f] = vector_k(batch, min(first + (f * THREADS + lid) / A, KEYS - 1u), (f * THREADS + lid) % A);
      }
      for (var f = 0u; f < LOADS_B; f++) {
        next_b[f] = vector_v(batch, min(first + (f * THREADS + lid) / B, KEYS - 1u), (f * THREADS + lid) % B);
      }
    }
    if (first == 0u) {
      continue;
    }
    let count = min(TILE, KEYS + ROWS - first);
    for (var j = 0u; j < count; j++) {
      var s = vec4f();
      for (var c = 0u; c < PART_A; c++) { // unroll
        s += q[c] * memory[j * A + c * LANES + lane];
      }
      parts[j * THREADS + lid] = s.x + s.y + s.z + s.w;
    }
    workgroupBarrier();
    for (var j = lane; j < count; j += LANES) {
      var s = 0.0;
      for (var l = 0u; l < LANES; l++) {
        s += parts[j * THREADS + owner * LANES + l];
      }
      scores[j * OWNERS + owner] = s;
    }
    workgroupBarrier();
    var top = peak;
    for (var j = 0u; j < count; j++) {
      top = max(top, scores[j * OWNERS + owner]);
    }
    let shrink = exp(peak - top);
    peak = top;
    total *= shrink;
    for (var c = 0u; c < PART_B; c++) { // unroll
      sum[c] *= shrink;
    }
    for (var j = 0u; j < count; j++) {
      let w = exp(scores[j * OWNERS + owner] - top);
      total += w;
      for (var c = 0u; c < PART_B; c++) { // unroll
        sum[c] += w * memory[AT_B + j * B + c * LANES + lane];
      }
    }
  }
  workgroupBarrier();
  for (var c = 0u; c < PART_B; c++) { // unroll
    memory[owner * B + c * LANES + lane] = sum[c] / total;
  }
  workgroupBarrier();
  for (var i = lid; i < OWNERS * B; i += THREADS) {
    if (mine + i / B < QUERIES) {
      put_o(batch, mine + i / B, i % B, memory[i]);
    }
  }
  if (lane == 0u && mine + owner < QUERIES) {
    store_lse(batch, row, peak + log(total));
  }
}
