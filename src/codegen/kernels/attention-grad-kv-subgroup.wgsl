// attention_grad_kv by subgroups (see attention-lanes.wgsl): own rows are keys, and the others queries. w = exp(score − lse), dv = Σ w · do,
// ds = w (do · v − delta), dk = Σ ds · q.
@compute @workgroup_size(S)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(subgroup_invocation_id) lane: u32) {
  let group = group_id(wid);
  if (group >= blocks(KEYS) * BATCHES) {
    return;
  }
  let batch = group / blocks(KEYS);
  let mine = (group % blocks(KEYS)) * TM;
  var own_k: array<f32, TM * PART_A>;
  var own_v: array<f32, TM * PART_B>;
  let at_k = place_k(batch);
  let at_v = place_v(batch);
  for (var r = 0u; r < ROWS; r++) {
    let row = min(mine + r, KEYS - 1u);
    let k = row_k(at_k, row, lane);
    for (var c = 0u; c < PART_A; c++) { // unroll
      own_k[r * PART_A + c] = k[c] * SCALE;
    }
    let v = row_v(at_v, row, lane);
    for (var c = 0u; c < PART_B; c++) { // unroll
      own_v[r * PART_B + c] = v[c];
    }
  }
  var sum_k: array<f32, TM * PART_A>;
  var sum_v: array<f32, TM * PART_B>;
  let at_q = place_q(batch);
  let at_do = place_do(batch);
  let at_lse = place_lse(batch);
  let at_delta = place_delta(batch);
  for (var query = 0u; query < QUERIES; query++) {
    let q = row_q(at_q, query, lane);
    let d = row_do(at_do, query, lane);
    let lse = number_lse(at_lse, query);
    let delta = number_delta(at_delta, query);
    for (var g = 0u; g < GROUPS; g++) { // unroll
      var score = array<f32, S>();
      for (var r = 0u; r < S; r++) { // unroll
        for (var c = 0u; c < PART_A; c++) { // unroll
          score[r] += own_k[(g * S + r) * PART_A + c] * q[c];
        }
      }
      var dw = array<f32, S>();
      for (var r = 0u; r < S; r++) { // unroll
        for (var c = 0u; c < PART_B; c++) { // unroll
          dw[r] += own_v[(g * S + r) * PART_B + c] * d[c];
        }
      }
      let weights = exp(across(lane, score) - lse);
      let ds = weights * (across(lane, dw) - delta) * SCALE;
      for (var r = 0u; r < S; r++) { // unroll
        let w = subgroupBroadcast(weights, r);
        for (var c = 0u; c < PART_B; c++) { // unroll
          sum_v[(g * S + r) * PART_B + c] += w * d[c];
        }
      }
      for (var r = 0u; r < S; r++) { // unroll
        let w = subgroupBroadcast(ds, r);
        for (var c = 0u; c < PART_A; c++) { // unroll
          sum_k[(g * S + r) * PART_A + c] += w * q[c];
        }
      }
    }
  }
  let at_dk = place_dk(batch);
  let at_dv = place_dv(batch);
  for (var row = mine; row < min(mine + TM, KEYS); row++) {
    put_dk(at_dk, row, lane, &sum_k, (row - mine) * PART_A);
    put_dv(at_dv, row, lane, &sum_v, (row - mine) * PART_B);
  }
}
