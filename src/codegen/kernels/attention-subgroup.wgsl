// attention by subgroups (see attention-lanes.wgsl): of each key the scores are found, what was summed before is brought to the new largest
// score, and its value is added (online softmax).
@compute @workgroup_size(S)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let group = group_id(wid);
  if (group >= blocks(QUERIES) * BATCHES) {
    return;
  }
  let batch = group / blocks(QUERIES);
  let mine = (group % blocks(QUERIES)) * TM;
  var own_q: array<f32, TM * PART_A>;
  for (var r = 0u; r < ROWS; r++) {
    let start = start_q(batch, min(mine + r, QUERIES - 1u));
    for (var c = 0u; c < PART_A; c++) { // unroll
      own_q[r * PART_A + c] = number_q(start, c * S + lane) * SCALE;
    }
  }
  var sum: array<f32, TM * PART_B>;
  var peak: array<f32, GROUPS>;
  var total: array<f32, GROUPS>;
  for (var g = 0u; g < GROUPS; g++) { // unroll
    peak[g] = -3.4028234663852886e38f;
  }
  for (var key = 0u; key < KEYS; key++) {
    let at_k = start_k(batch, key);
    var k: array<f32, PART_A>;
    for (var c = 0u; c < PART_A; c++) { // unroll
      k[c] = number_k(at_k, c * S + lane);
    }
    let at_v = start_v(batch, key);
    var v: array<f32, PART_B>;
    for (var c = 0u; c < PART_B; c++) { // unroll
      v[c] = number_v(at_v, c * S + lane);
    }
    for (var g = 0u; g < GROUPS; g++) { // unroll
      var part = array<f32, S>();
      for (var r = 0u; r < S; r++) { // unroll
        for (var c = 0u; c < PART_A; c++) { // unroll
          part[r] += own_q[(g * S + r) * PART_A + c] * k[c];
        }
      }
      let score = across(lane, part);
      let top = max(peak[g], score);
      let shrink = exp(peak[g] - top);
      let weights = exp(score - top);
      peak[g] = top;
      total[g] = total[g] * shrink + weights;
      for (var r = 0u; r < S; r++) { // unroll
        let w = subgroupBroadcast(weights, r);
        let less = subgroupBroadcast(shrink, r);
        for (var c = 0u; c < PART_B; c++) { // unroll
          sum[(g * S + r) * PART_B + c] = sum[(g * S + r) * PART_B + c] * less + w * v[c];
        }
      }
    }
  }
  for (var row = mine; row < min(mine + TM, QUERIES); row++) {
    let r = row - mine;
    let all = subgroupShuffle(total[r / S], r % S);
    let lse = subgroupShuffle(peak[r / S], r % S) + log(all);
    let start = start_o(batch, row);
    for (var c = 0u; c < PART_B; c++) { // unroll
      put_o(start, c * S + lane, sum[r * PART_B + c] / all);
    }
    if (lane == 0u) {
      store_lse(batch, row, lse);
    }
  }
}
