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
  let at_q = place_q(batch);
  for (var r = 0u; r < ROWS; r++) {
    let q = row_q(at_q, min(mine + r, QUERIES - 1u), lane);
    for (var c = 0u; c < PART_A; c++) { // unroll
      own_q[r * PART_A + c] = q[c] * SCALE;
    }
  }
  var sum: array<f32, TM * PART_B>;
  var peak: array<f32, GROUPS>;
  var total: array<f32, GROUPS>;
  for (var g = 0u; g < GROUPS; g++) { // unroll
    peak[g] = -3.4028234663852886e38f;
  }
  let at_k = place_k(batch);
  let at_v = place_v(batch);
  for (var key = 0u; key < KEYS; key++) {
    let k = row_k(at_k, key, lane);
    let v = row_v(at_v, key, lane);
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
  let at_o = place_o(batch);
  let at_lse = place_lse(batch);
  for (var row = mine; row < min(mine + TM, QUERIES); row++) {
    let r = row - mine;
    let all = subgroupShuffle(total[r / S], r % S);
    let lse = subgroupShuffle(peak[r / S], r % S) + log(all);
    for (var c = 0u; c < PART_B; c++) { // unroll
      sum[r * PART_B + c] /= all;
    }
    put_o(at_o, row, lane, &sum, r * PART_B);
    if (lane == 0u) {
      put_lse(at_lse, row, lse);
    }
  }
}
