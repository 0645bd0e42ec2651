// attention by subgroups (see attention-lanes.wgsl): keys by OWNERS. Their scores are found first, then what was summed before is brought to
// the new largest score, then their values are added (online softmax).
@compute @workgroup_size(S)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let group = group_id(wid);
  if (group >= blocks(QUERIES) * BATCHES) {
    return;
  }
  let batch = group / blocks(QUERIES);
  let mine = (group % blocks(QUERIES)) * OWNERS + lane / LANES;
  let part = lane % LANES;
  let row = min(mine, QUERIES - 1u);
  var q: array<vec4f, PART_A>;
  for (var c = 0u; c < PART_A; c++) { // unroll
    q[c] = vector_q(batch, row, c * LANES + part) * SCALE;
  }
  var sum: array<vec4f, PART_B>;
  var peak = -3.4028234663852886e38f;
  var total = 0.0;
  for (var first = 0u; first < KEYS; first += OWNERS) {
    let key = min(first + lane / LANES, KEYS - 1u);
    let count = min(OWNERS, KEYS - first);
    var k: array<vec4f, PART_A>;
    for (var c = 0u; c < PART_A; c++) { // unroll
      k[c] = vector_k(batch, key, c * LANES + part);
    }
    var scores: array<f32, OWNERS>;
    var top = peak;
    for (var j = 0u; j < count; j++) {
      let source = j * LANES + part;
      var s = vec4f();
      for (var c = 0u; c < PART_A; c++) { // unroll
        s += q[c] * subgroupShuffle(k[c], source);
      }
      scores[j] = together(s);
      top = max(top, scores[j]);
    }
    let shrink = exp(peak - top);
    peak = top;
    total *= shrink;
    var v: array<vec4f, PART_B>;
    for (var c = 0u; c < PART_B; c++) { // unroll
      sum[c] *= shrink;
      v[c] = vector_v(batch, key, c * LANES + part);
    }
    for (var j = 0u; j < count; j++) {
      let source = j * LANES + part;
      let w = exp(scores[j] - top);
      total += w;
      for (var c = 0u; c < PART_B; c++) { // unroll
        sum[c] += w * subgroupShuffle(v[c], source);
      }
    }
  }
  if (mine < QUERIES) {
    for (var c = 0u; c < PART_B; c++) { // unroll
      put_o(batch, row, c * LANES + part, sum[c] / total);
    }
    if (part == 0u) {
      store_lse(batch, row, peak + log(total));
    }
  }
}
